/**
 * DynamoDB as the ports need it: rows as plain values, conditions as values, and changes that may be sent twice.
 *
 * A change whose answer is lost is sent again, and its condition may then fail by its own effect. So each change carries a
 * number of its own (`written_by`): a condition that fails on a row with this very number has been met.
 */
import type { AttributeValue, KeysAndAttributes, TransactWriteItem, WriteRequest } from "@aws-sdk/client-dynamodb"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { randomUUID } from "node:crypto"
import { StoreError } from "../../ports/StoreError.ts"
import { type Attributes, fromItem, toItem } from "./attributes.ts"
import { Aws, type AwsRequest, lazyClient, type Purpose } from "./Aws.ts"
import { AwsRefusal } from "./AwsFailures.ts"
import { type Changes, type Condition, makeExpression } from "./conditions.ts"
import type { TableShape } from "./tables.ts"

/** A change of one row, or a look at one, in a transaction. */
export type Write =
  | { readonly _tag: "Put"; readonly table: TableShape; readonly item: Attributes; readonly when?: Condition }
  | {
    readonly _tag: "Update"
    readonly table: TableShape
    readonly key: Attributes
    readonly changes: Changes
    readonly when?: Condition
    /** Whether the answer has the row as it then is. */
    readonly shown?: true
  }
  | { readonly _tag: "Delete"; readonly table: TableShape; readonly key: Attributes; readonly when?: Condition }
  | { readonly _tag: "Check"; readonly table: TableShape; readonly key: Attributes; readonly when: Condition }

/** `done`, with the row after it where that was asked for; else the row as it was, if there is one. */
export type Changed =
  | { readonly done: true; readonly item: Attributes }
  | { readonly done: false; readonly item: Attributes | undefined }

/** `failed` by position; `item` is the row on which a condition failed, if there is one. */
export type Transacted =
  | { readonly done: true }
  | { readonly done: false; readonly writes: ReadonlyArray<{ readonly failed: boolean; readonly item?: Attributes }> }

export interface Query {
  readonly table: TableShape
  readonly index?: string
  /** The partition, and what the sort key begins with. */
  readonly key: ReadonlyArray<Condition>
  readonly filter?: Condition
  /** False for a global index, which may lag. */
  readonly consistent: boolean
  /** At most about so many; absent: all, page by page. */
  readonly limit?: number
  readonly newestFirst?: boolean
}

export interface Scan {
  readonly table: TableShape
  readonly index?: string
  readonly filter?: Condition
  readonly consistent: boolean
}

/** Which change wrote a row last. */
const writtenBy = "written_by"

const conditionFailed = "ConditionalCheckFailedException"
const cancelled = "TransactionCanceledException"

/** DynamoDB's own limits of one request. */
const batchReads = 100
const batchWrites = 25

const own = (item: Attributes | undefined, by: string): boolean => item?.[writtenBy] === by

/** The row on which a condition failed. */
const refusedItem = (cause: unknown): Attributes | undefined =>
  typeof cause === "object" && cause !== null && "Item" in cause && cause.Item !== undefined
    ? fromItem(cause.Item as Record<string, AttributeValue>)
    : undefined

const refusedItems = (cause: unknown): ReadonlyArray<{ readonly failed: boolean; readonly item?: Attributes }> => {
  const reasons = typeof cause === "object" && cause !== null && "CancellationReasons" in cause
    ? cause.CancellationReasons as ReadonlyArray<
      { readonly Code?: string; readonly Item?: Record<string, AttributeValue> }
    >
    : []
  return reasons.map(({ Code, Item }) => ({
    failed: Code === "ConditionalCheckFailed",
    ...(Item === undefined ? {} : { item: fromItem(Item) })
  }))
}

/** For calls in whose refusals nobody is interested. */
const plain = <A>(effect: Effect.Effect<A, StoreError | AwsRefusal>): Effect.Effect<A, StoreError> =>
  Effect.catchTag(effect, "AwsRefusal", Effect.die)

/** All pages, or so many that there are `limit` rows. */
const rows = <
  Page extends {
    readonly Items?: ReadonlyArray<Record<string, AttributeValue>> | undefined
    readonly LastEvaluatedKey?: Record<string, AttributeValue> | undefined
  }
>(
  page: (from: Record<string, AttributeValue> | undefined) => Effect.Effect<Page, StoreError>,
  limit = Infinity
) =>
  Effect.gen(function*() {
    const found: Array<Attributes> = []
    let from: Record<string, AttributeValue> | undefined
    do {
      const answer: Page = yield* page(from)
      for (const item of answer.Items ?? []) found.push(fromItem(item))
      from = answer.LastEvaluatedKey
    } while (from !== undefined && found.length < limit)
    return found
  })

const make = Effect.gen(function*() {
  const aws = yield* Aws
  const opened = yield* lazyClient(async () => {
    const sdk = await import("./dynamoSdk.ts")
    return { sdk, client: new sdk.DynamoDBClient(aws.clientConfig) }
  })
  type Opened = Awaited<ReturnType<typeof opened>>
  const tableName = (table: TableShape) => aws.named(table.name)
  const call = <A>(
    purpose: Purpose,
    operation: string,
    input: AwsRequest["input"],
    send: (opened: Opened, signal: AbortSignal) => Promise<A>,
    expected: ReadonlyArray<string> = []
  ) =>
    aws.call(
      { purpose, expected, request: { service: "dynamodb", operation, input } },
      async (signal) => send(await opened(), signal)
    )
  const oneWrite = (write: Write, by: string): TransactWriteItem => {
    const expression = makeExpression()
    const TableName = tableName(write.table)
    const shown = { ReturnValuesOnConditionCheckFailure: "ALL_OLD" as const }
    const when = write.when === undefined ? {} : { ConditionExpression: expression.condition(write.when) }
    switch (write._tag) {
      case "Put":
        return {
          Put: { TableName, Item: toItem({ ...write.item, [writtenBy]: by }), ...when, ...shown, ...expression.rest() }
        }
      case "Update": {
        const { changes } = write
        const UpdateExpression = expression.update({ ...changes, set: { ...changes.set, [writtenBy]: by } })
        return {
          Update: { TableName, Key: toItem(write.key), UpdateExpression, ...when, ...shown, ...expression.rest() }
        }
      }
      case "Delete":
        return { Delete: { TableName, Key: toItem(write.key), ...when, ...shown, ...expression.rest() } }
      case "Check":
        return {
          ConditionCheck: {
            TableName,
            Key: toItem(write.key),
            ConditionExpression: when.ConditionExpression ?? "",
            ...shown,
            ...expression.rest()
          }
        }
    }
  }

  const send = Effect.fnUntraced(function*(purpose: Purpose, write: Write, by: string) {
    const { Delete, Put, Update } = oneWrite(write, by)
    if (Put !== undefined) {
      const input = Put
      yield* call(
        purpose,
        "PutItem",
        input,
        ({ client, sdk }, abortSignal) => client.send(new sdk.PutItemCommand(input), { abortSignal }),
        [conditionFailed]
      )
      return {}
    }
    if (Update !== undefined) {
      const ReturnValues = write._tag === "Update" && write.shown === true ? "ALL_NEW" as const : "NONE" as const
      const input = { ...Update, ReturnValues }
      const { Attributes: item = {} } = yield* call(
        purpose,
        "UpdateItem",
        input,
        ({ client, sdk }, abortSignal) => client.send(new sdk.UpdateItemCommand(input), { abortSignal }),
        [conditionFailed]
      )
      return fromItem(item)
    }
    if (Delete !== undefined) {
      const input = Delete
      yield* call(
        purpose,
        "DeleteItem",
        input,
        ({ client, sdk }, abortSignal) => client.send(new sdk.DeleteItemCommand(input), { abortSignal }),
        [conditionFailed]
      )
    }
    return {}
  })

  return Dynamo.of({
    get: Effect.fnUntraced(function*(purpose, table, key, consistent = true) {
      const input = { TableName: tableName(table), Key: toItem(key), ConsistentRead: consistent }
      const { Item } = yield* plain(
        call(
          purpose,
          "GetItem",
          input,
          ({ client, sdk }, abortSignal) => client.send(new sdk.GetItemCommand(input), { abortSignal })
        )
      )
      return Item === undefined ? undefined : fromItem(Item)
    }),
    change: Effect.fnUntraced(function*(purpose, write) {
      const by = randomUUID()
      return yield* send(purpose, write, by).pipe(
        Effect.map((item): Changed => ({ done: true, item })),
        Effect.catchTag("AwsRefusal", ({ cause }) => {
          const item = refusedItem(cause)
          return Effect.succeed<Changed>(
            item !== undefined && own(item, by) ? { done: true, item } : { done: false, item }
          )
        })
      )
    }),
    transact: Effect.fnUntraced(function*(purpose, writes) {
      const by = randomUUID()
      // The token is the same for every attempt, so the service itself knows a repetition for ten minutes.
      const input = { TransactItems: writes.map((write) => oneWrite(write, by)), ClientRequestToken: by }
      return yield* call(
        purpose,
        "TransactWriteItems",
        input,
        ({ client, sdk }, abortSignal) => client.send(new sdk.TransactWriteItemsCommand(input), { abortSignal }),
        [cancelled]
      ).pipe(
        Effect.map((): Transacted => ({ done: true })),
        Effect.catchTag("AwsRefusal", ({ cause }) => {
          const refused = refusedItems(cause)
          if (refused.some(({ failed, item }) => failed && own(item, by))) {
            return Effect.succeed<Transacted>({ done: true })
          }
          if (refused.some(({ failed }) => failed)) return Effect.succeed<Transacted>({ done: false, writes: refused })
          return Effect.fail(
            new StoreError({ ...purpose, reason: "Unavailable", detail: "the transaction was cancelled", cause })
          )
        })
      )
    }),
    query: Effect.fnUntraced(function*(purpose, query) {
      const expression = makeExpression()
      const KeyConditionExpression = expression.keyCondition(...query.key)
      const filter = query.filter === undefined ? {} : { FilterExpression: expression.condition(query.filter) }
      const fixed = {
        TableName: tableName(query.table),
        ...(query.index === undefined ? {} : { IndexName: query.index }),
        ...(query.limit === undefined ? {} : { Limit: query.limit }),
        KeyConditionExpression,
        ConsistentRead: query.consistent,
        ScanIndexForward: query.newestFirst !== true,
        ...filter,
        ...expression.rest()
      }
      return yield* rows((from) => {
        const input = { ...fixed, ...(from === undefined ? {} : { ExclusiveStartKey: from }) }
        return plain(
          call(
            purpose,
            "Query",
            input,
            ({ client, sdk }, abortSignal) => client.send(new sdk.QueryCommand(input), { abortSignal })
          )
        )
      }, query.limit)
    }),
    scan: Effect.fnUntraced(function*(purpose, scan) {
      const expression = makeExpression()
      const filter = scan.filter === undefined ? {} : { FilterExpression: expression.condition(scan.filter) }
      const fixed = {
        TableName: tableName(scan.table),
        ...(scan.index === undefined ? {} : { IndexName: scan.index }),
        ConsistentRead: scan.consistent,
        ...filter,
        ...expression.rest()
      }
      return yield* rows((from) => {
        const input = { ...fixed, ...(from === undefined ? {} : { ExclusiveStartKey: from }) }
        return plain(
          call(
            purpose,
            "Scan",
            input,
            ({ client, sdk }, abortSignal) => client.send(new sdk.ScanCommand(input), { abortSignal })
          )
        )
      })
    }),
    getAll: Effect.fnUntraced(function*(purpose, table, keys) {
      const found: Array<Attributes> = []
      const name = tableName(table)
      for (let start = 0; start < keys.length; start += batchReads) {
        let asked: Record<string, KeysAndAttributes> | undefined = {
          [name]: { Keys: keys.slice(start, start + batchReads).map(toItem), ConsistentRead: true }
        }
        // What a batch leaves over is asked for again.
        while (asked !== undefined && Object.keys(asked).length > 0) {
          const input: { readonly RequestItems: Record<string, KeysAndAttributes> } = { RequestItems: asked }
          const answer = yield* plain(
            call(
              purpose,
              "BatchGetItem",
              input,
              ({ client, sdk }, abortSignal) => client.send(new sdk.BatchGetItemCommand(input), { abortSignal })
            )
          )
          for (const item of answer.Responses?.[name] ?? []) found.push(fromItem(item))
          asked = answer.UnprocessedKeys
        }
      }
      return found
    }),
    deleteAll: Effect.fnUntraced(function*(purpose, table, keys) {
      const name = tableName(table)
      for (let start = 0; start < keys.length; start += batchWrites) {
        let asked: Record<string, Array<WriteRequest>> | undefined = {
          [name]: keys.slice(start, start + batchWrites).map((key) => ({ DeleteRequest: { Key: toItem(key) } }))
        }
        while (asked !== undefined && Object.keys(asked).length > 0) {
          const input: { readonly RequestItems: Record<string, Array<WriteRequest>> } = { RequestItems: asked }
          const answer = yield* plain(
            call(
              purpose,
              "BatchWriteItem",
              input,
              ({ client, sdk }, abortSignal) => client.send(new sdk.BatchWriteItemCommand(input), { abortSignal })
            )
          )
          asked = answer.UnprocessedItems
        }
      }
    })
  })
})

export class Dynamo extends Context.Service<Dynamo, {
  /** Strongly consistent unless told otherwise. */
  readonly get: (
    purpose: Purpose,
    table: TableShape,
    key: Attributes,
    consistent?: boolean
  ) => Effect.Effect<Attributes | undefined, StoreError>
  /** One row, if its condition holds. */
  readonly change: (purpose: Purpose, write: Write) => Effect.Effect<Changed, StoreError>
  /** All of it or none. Meeting another transaction is tried again. */
  readonly transact: (purpose: Purpose, writes: ReadonlyArray<Write>) => Effect.Effect<Transacted, StoreError>
  readonly query: (purpose: Purpose, query: Query) => Effect.Effect<ReadonlyArray<Attributes>, StoreError>
  /** Reads all of a table or an index. */
  readonly scan: (purpose: Purpose, scan: Scan) => Effect.Effect<ReadonlyArray<Attributes>, StoreError>
  /** Strongly consistent, in no order; what is not there is left out. */
  readonly getAll: (
    purpose: Purpose,
    table: TableShape,
    keys: ReadonlyArray<Attributes>
  ) => Effect.Effect<ReadonlyArray<Attributes>, StoreError>
  /** Not in one step: may have deleted a part when it fails. */
  readonly deleteAll: (
    purpose: Purpose,
    table: TableShape,
    keys: ReadonlyArray<Attributes>
  ) => Effect.Effect<void, StoreError>
}>()("km/runtime/engines/aws/Dynamo") {
  static readonly layer: Layer.Layer<Dynamo, never, Aws> = Layer.effect(Dynamo, Effect.suspend(() => make))
}
