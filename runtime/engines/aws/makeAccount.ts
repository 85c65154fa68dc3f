/**
 * Makes what an install needs in an account and does not have yet: its tables, and its bucket. For a person's own `km`; where
 * a stack has made them, everything is there and nothing is changed.
 */
import type { CreateTableCommandInput } from "@aws-sdk/client-dynamodb"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { StoreError } from "../../ports/StoreError.ts"
import { Aws, lazyClient, type Purpose } from "./Aws.ts"
import { type TableKey, tables, type TableShape } from "./tables.ts"

const purpose: Purpose = { port: "Account", operation: "make" }

const gone = "ResourceNotFoundException"

const attributeOf = (table: TableShape, AttributeName: string) => ({
  AttributeName,
  AttributeType: table.numbers?.includes(AttributeName) === true ? "N" as const : "S" as const
})
const keySchema = ({ partition, sort }: TableKey) => [
  { AttributeName: partition, KeyType: "HASH" as const },
  ...(sort === undefined ? [] : [{ AttributeName: sort, KeyType: "RANGE" as const }])
]
const projection = (holds: ReadonlyArray<string> | undefined) =>
  holds === undefined
    ? { ProjectionType: "ALL" as const }
    : holds.length === 0
    ? { ProjectionType: "KEYS_ONLY" as const }
    : { ProjectionType: "INCLUDE" as const, NonKeyAttributes: [...holds] }

/** How a table of the list is made. */
export const tableInput = (TableName: string, table: TableShape): CreateTableCommandInput => {
  const keys = [table.key, ...table.indexes.map(({ key }) => key)]
  const names = new Set(keys.flatMap(({ partition, sort }) => sort === undefined ? [partition] : [partition, sort]))
  const indexes = (kind: "global" | "local") =>
    table.indexes.filter((index) => index.kind === kind).map(({ holds, key, name }) => ({
      IndexName: name,
      KeySchema: keySchema(key),
      Projection: projection(holds)
    }))
  const [global, local] = [indexes("global"), indexes("local")]
  return {
    TableName,
    BillingMode: "PAY_PER_REQUEST",
    KeySchema: keySchema(table.key),
    AttributeDefinitions: [...names].map((name) => attributeOf(table, name)),
    ...(global.length === 0 ? {} : { GlobalSecondaryIndexes: global }),
    ...(local.length === 0 ? {} : { LocalSecondaryIndexes: local })
  }
}

/** A large one was never completed after a day; what was sent and is not delivered after so long will not be. */
const lifecycle = (outgoingDays: number) => ({
  Rules: [
    {
      ID: "unfinished",
      Status: "Enabled" as const,
      Filter: { Prefix: "" },
      AbortIncompleteMultipartUpload: { DaysAfterInitiation: 1 }
    },
    {
      ID: "outgoing",
      Status: "Enabled" as const,
      Filter: { Prefix: "mail/outgoing/" },
      Expiration: { Days: outgoingDays }
    }
  ]
})

/** A table of an account takes half a minute to be made. */
const untilActive = Schedule.spaced("1 second").pipe(Schedule.upTo({ times: 120 }))

const make = Effect.gen(function*() {
  const aws = yield* Aws
  const { accountId, endpoint, region } = aws.settings
  const opened = yield* lazyClient(async () => {
    const sdk = await import("./setupSdk.ts")
    const client = new sdk.DynamoDBClient(aws.clientConfig)
    const s3 = new sdk.S3Client({ ...aws.clientConfig, forcePathStyle: endpoint !== undefined })
    const destroy = () => {
      client.destroy()
      s3.destroy()
    }
    return { sdk, tables: client, s3, client: { destroy } }
  })
  type Opened = Awaited<ReturnType<typeof opened>>
  const call = <A>(
    service: "dynamodb" | "s3",
    operation: string,
    input: object,
    send: (opened: Opened, signal: AbortSignal) => Promise<A>,
    expected: ReadonlyArray<string> = []
  ) =>
    aws.call(
      { purpose, expected, request: { service, operation, input } },
      async (signal) => send(await opened(), signal)
    )

  const statusOf = Effect.fnUntraced(function*(TableName: string) {
    const answer = yield* Effect.catchTag(
      call(
        "dynamodb",
        "DescribeTable",
        { TableName },
        ({ sdk, tables: client }, abortSignal) =>
          client.send(new sdk.DescribeTableCommand({ TableName }), { abortSignal }),
        [gone]
      ),
      "AwsRefusal",
      () => Effect.undefined
    )
    return answer?.Table?.TableStatus
  })
  const makeTable = Effect.fnUntraced(function*(table: TableShape) {
    const TableName = aws.named(table.name)
    if ((yield* statusOf(TableName)) !== undefined) return
    const input = tableInput(TableName, table)
    // Made meanwhile by another one, or by the first attempt whose answer was lost.
    yield* Effect.catchTag(
      call(
        "dynamodb",
        "CreateTable",
        input,
        ({ sdk, tables: client }, abortSignal) => client.send(new sdk.CreateTableCommand(input), { abortSignal }),
        ["ResourceInUseException"]
      ),
      "AwsRefusal",
      () => Effect.void
    )
    yield* statusOf(TableName).pipe(
      Effect.filterOrFail(
        (status) => status === "ACTIVE",
        () =>
          new StoreError({
            ...purpose,
            reason: "Unavailable",
            detail: `the table ${TableName} is still being made`,
            cause: undefined
          })
      ),
      Effect.retry(untilActive)
    )
    if (table.ttl === undefined) return
    const ttl = { TableName, TimeToLiveSpecification: { AttributeName: table.ttl, Enabled: true } }
    yield* call(
      "dynamodb",
      "UpdateTimeToLive",
      ttl,
      ({ sdk, tables: client }, abortSignal) => client.send(new sdk.UpdateTimeToLiveCommand(ttl), { abortSignal })
    )
  })
  const makeBucket = Effect.gen(function*() {
    const Bucket = aws.named(`artifacts-${accountId}`)
    const found = yield* Effect.catchTag(
      call(
        "s3",
        "HeadBucket",
        { Bucket },
        ({ s3, sdk }, abortSignal) => s3.send(new sdk.HeadBucketCommand({ Bucket }), { abortSignal }),
        ["NotFound", "NoSuchBucket"]
      ),
      "AwsRefusal",
      () => Effect.undefined
    )
    if (found !== undefined) return
    const input = {
      Bucket,
      ...(region === "us-east-1" ? {} : { CreateBucketConfiguration: { LocationConstraint: region } })
    }
    yield* Effect.catchTag(
      call(
        "s3",
        "CreateBucket",
        input,
        ({ s3, sdk }, abortSignal) => s3.send(new sdk.CreateBucketCommand(input as never), { abortSignal }),
        ["BucketAlreadyOwnedByYou"]
      ),
      "AwsRefusal",
      () => Effect.void
    )
    const shut = {
      BlockPublicAcls: true,
      BlockPublicPolicy: true,
      IgnorePublicAcls: true,
      RestrictPublicBuckets: true
    }
    yield* call(
      "s3",
      "PutPublicAccessBlock",
      { Bucket },
      ({ s3, sdk }, abortSignal) =>
        s3.send(new sdk.PutPublicAccessBlockCommand({ Bucket, PublicAccessBlockConfiguration: shut }), { abortSignal })
    )
    yield* call("s3", "PutBucketLifecycleConfiguration", { Bucket }, ({ s3, sdk }, abortSignal) =>
      s3.send(
        new sdk.PutBucketLifecycleConfigurationCommand({ Bucket, LifecycleConfiguration: lifecycle(30) }),
        { abortSignal }
      ))
  })
  yield* Effect.all([makeBucket, ...tables.map(makeTable)], { concurrency: 4, discard: true })
})

/** Idempotent. Needs rights that no process of an install has. */
export const makeAccount: Effect.Effect<void, StoreError, Aws> = Effect.scoped(make).pipe(
  Effect.catchTag("AwsRefusal", ({ cause, code }) =>
    Effect.fail(
      new StoreError({ ...purpose, reason: "Denied", detail: `the account's parts could not be made (${code})`, cause })
    ))
)
