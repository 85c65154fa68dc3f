/**
 * SQS FIFO as a bell that remembers: a ticket says that there is something to do in a group, never what. One group's tickets
 * are given out one at a time, which is what keeps a thread to one turn.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { randomUUID } from "node:crypto"
import { GroupId, type SandboxId } from "../../domain/sandbox/Ids.ts"
import { QueueMissing } from "../../ports/QueueRules.ts"
import type { StoreError } from "../../ports/StoreError.ts"
import { Aws, lazyClient, type Purpose } from "./Aws.ts"
import type { AwsRefusal } from "./AwsFailures.ts"

export interface Ticket {
  readonly group: GroupId
  /** SQS's receipt handle. */
  readonly handle: string
}

/** What the services call a queue that is not there, in their two protocols. */
const missing = ["QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExistException"]

/** What becomes of a handle whose time is over, or whose ticket is gone or given out anew. */
const stale = [
  "ReceiptHandleIsInvalid",
  "InvalidParameterValue",
  "InvalidParameterValueException",
  "MessageNotInflight",
  "InvalidIdFormat"
]

/** SQS counts in whole seconds and gives out a ticket for 12 hours at most. */
const maxSeconds = 43_200

const TicketBody = Schema.fromJsonString(Schema.Struct({ group: GroupId }))
const decodeBody = Schema.decodeUnknownOption(TicketBody)

const orMissing = <A>(queue: SandboxId, effect: Effect.Effect<A, StoreError | AwsRefusal>) =>
  Effect.catchTag(effect, "AwsRefusal", () => Effect.fail(new QueueMissing({ queue })))

const make = Effect.gen(function*() {
  const aws = yield* Aws
  const { accountId, endpoint, region } = aws.settings
  const opened = yield* lazyClient(async () => {
    const sdk = await import("./sqsSdk.ts")
    return { sdk, client: new sdk.SQSClient(aws.clientConfig) }
  })
  type Opened = Awaited<ReturnType<typeof opened>>
  const queueName = (queue: SandboxId) => aws.named(`slack-inbound-${queue}.fifo`)
  const host = endpoint ?? `https://sqs.${region}.amazonaws.com${region.startsWith("cn-") ? ".cn" : ""}`
  const urlOf = (queue: SandboxId) => `${host}/${accountId}/${queueName(queue)}`
  const call = <A>(
    purpose: Purpose,
    operation: string,
    input: object,
    send: (opened: Opened, signal: AbortSignal) => Promise<A>,
    expected: ReadonlyArray<string> = [],
    wait: Duration.Duration = Duration.zero
  ) =>
    aws.call(
      { purpose, expected, wait, request: { service: "sqs", operation, input } },
      async (signal) => send(await opened(), signal)
    )

  return Tickets.of({
    create: Effect.fnUntraced(function*(purpose, queue) {
      const input = {
        QueueName: queueName(queue),
        Attributes: {
          FifoQueue: "true",
          ContentBasedDeduplication: "false",
          DeduplicationScope: "messageGroup",
          FifoThroughputLimit: "perMessageGroupId",
          MessageRetentionPeriod: `${14 * 86_400}`,
          VisibilityTimeout: "120"
        }
      }
      yield* Effect.catchTag(
        call(
          purpose,
          "CreateQueue",
          input,
          ({ client, sdk }, abortSignal) => client.send(new sdk.CreateQueueCommand(input), { abortSignal })
        ),
        "AwsRefusal",
        Effect.die
      )
    }),
    destroy: Effect.fnUntraced(function*(purpose, queue) {
      const input = { QueueUrl: urlOf(queue) }
      yield* call(
        purpose,
        "DeleteQueue",
        input,
        ({ client, sdk }, abortSignal) => client.send(new sdk.DeleteQueueCommand(input), { abortSignal }),
        missing
      ).pipe(
        Effect.catchTag("AwsRefusal", () => Effect.void)
      )
    }),
    send: Effect.fnUntraced(function*(purpose, queue, group) {
      const input = {
        QueueUrl: urlOf(queue),
        MessageBody: JSON.stringify({ group }),
        MessageGroupId: group,
        // Of its own for each ticket, else the second one within five minutes would be swallowed; the same one for all attempts.
        MessageDeduplicationId: randomUUID()
      }
      yield* orMissing(
        queue,
        call(
          purpose,
          "SendMessage",
          input,
          ({ client, sdk }, abortSignal) => client.send(new sdk.SendMessageCommand(input), { abortSignal }),
          missing
        )
      )
    }),
    receive: Effect.fnUntraced(function*(purpose, queue, { visibilityMillis, waitMillis }) {
      const WaitTimeSeconds = Math.min(20, Math.ceil(waitMillis / 1000))
      const input = {
        QueueUrl: urlOf(queue),
        MaxNumberOfMessages: 1,
        WaitTimeSeconds,
        VisibilityTimeout: Math.min(maxSeconds, Math.ceil(visibilityMillis / 1000)),
        // An answer that is lost is given again to the same number.
        ReceiveRequestAttemptId: randomUUID()
      }
      const { Messages = [] } = yield* orMissing(
        queue,
        call(
          purpose,
          "ReceiveMessage",
          input,
          ({ client, sdk }, abortSignal) => client.send(new sdk.ReceiveMessageCommand(input), { abortSignal }),
          missing,
          Duration.seconds(WaitTimeSeconds)
        )
      )
      const [message] = Messages
      if (message?.ReceiptHandle === undefined) return undefined
      const { Body, ReceiptHandle: handle } = message
      return { handle, group: Option.getOrUndefined(Option.map(decodeBody(Body), ({ group }) => group)) }
    }),
    hide: Effect.fnUntraced(function*(purpose, queue, handle, millis) {
      const input = {
        QueueUrl: urlOf(queue),
        ReceiptHandle: handle,
        VisibilityTimeout: Math.max(0, Math.min(maxSeconds, Math.ceil(millis / 1000)))
      }
      return yield* call(
        purpose,
        "ChangeMessageVisibility",
        input,
        ({ client, sdk }, abortSignal) => client.send(new sdk.ChangeMessageVisibilityCommand(input), { abortSignal }),
        [...missing, ...stale]
      ).pipe(
        Effect.as(true),
        Effect.catchTag("AwsRefusal", () => Effect.succeed(false))
      )
    }),
    discard: Effect.fnUntraced(function*(purpose, queue, handle) {
      const input = { QueueUrl: urlOf(queue), ReceiptHandle: handle }
      yield* call(
        purpose,
        "DeleteMessage",
        input,
        ({ client, sdk }, abortSignal) => client.send(new sdk.DeleteMessageCommand(input), { abortSignal }),
        [...missing, ...stale]
      ).pipe(
        Effect.catchTag("AwsRefusal", () => Effect.void)
      )
    })
  })
})

export class Tickets extends Context.Service<Tickets, {
  /** Idempotent. SQS refuses a name for a minute after its deletion. */
  readonly create: (purpose: Purpose, queue: SandboxId) => Effect.Effect<void, StoreError>
  /** Idempotent. */
  readonly destroy: (purpose: Purpose, queue: SandboxId) => Effect.Effect<void, StoreError>
  readonly send: (purpose: Purpose, queue: SandboxId, group: GroupId) => Effect.Effect<void, StoreError | QueueMissing>
  /** A ticket without a group is none of ours, or damaged. */
  readonly receive: (
    purpose: Purpose,
    queue: SandboxId,
    options: { readonly waitMillis: number; readonly visibilityMillis: number }
  ) => Effect.Effect<
    { readonly handle: string; readonly group: GroupId | undefined } | undefined,
    StoreError | QueueMissing
  >
  /** Gives the ticket out again after this long; at once for 0. False when the handle is no longer good for it. */
  readonly hide: (
    purpose: Purpose,
    queue: SandboxId,
    handle: string,
    millis: number
  ) => Effect.Effect<boolean, StoreError>
  /** Nothing happens where the handle is no longer good: the ticket comes again and is found to be for nothing. */
  readonly discard: (purpose: Purpose, queue: SandboxId, handle: string) => Effect.Effect<void, StoreError>
}>()("km/runtime/engines/aws/Tickets") {
  static readonly layer: Layer.Layer<Tickets, never, Aws> = Layer.effect(Tickets, Effect.suspend(() => make))
}
