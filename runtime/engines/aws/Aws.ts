/**
 * How every call to AWS is made: lazily opened clients, one attempt per request of the SDK, and what may be tried again is
 * tried again here, so that time, jitter and interruption are Effect's.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type { InstallName } from "../../domain/sandbox/Ids.ts"
import { StoreError } from "../../ports/StoreError.ts"
import { AwsFailure, AwsRefusal, judge, unanswered, type Verdict } from "./AwsFailures.ts"

export type AwsServiceName = "dynamodb" | "s3" | "sqs" | "ssm"

/** One request as it goes out, for whoever stands between us and the service. */
export interface AwsRequest {
  readonly service: AwsServiceName
  /** The service's own name, such as `SendMessage`. */
  readonly operation: string
  readonly input: object
}

/** May look at, delay, fail or repeat a request. */
export type AwsAround = <A>(request: AwsRequest, send: Effect.Effect<A, AwsFailure>) => Effect.Effect<A, AwsFailure>

export interface AwsSettings {
  /** The prefix of every name. */
  readonly install: InstallName
  readonly region: string
  /** Twelve digits: part of a queue's address. */
  readonly accountId: string
  /** Of an emulator, without a trailing slash. Absent: the region's own. */
  readonly endpoint?: string
  /** Given: nothing else is looked for, least of all an instance's metadata. Absent: the SDK's own chain. */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string }
  /** The SDK's HTTP handler, where it is not the usual one. */
  readonly requestHandler?: object
  readonly around?: AwsAround
}

/** What every client is opened with: one attempt, since attempts are counted here. */
export interface ClientConfig {
  readonly region: string
  readonly maxAttempts: 1
  readonly endpoint?: string
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string }
}

/** What one request may take, beyond what it is asked to wait. */
const requestPatience = Duration.seconds(10)

/** At most 7 attempts, 100 ms apart and doubling, a fifth more or less; four times as long where we are asked to slow down. */
const patience = Schedule.exponential("100 millis").pipe(
  Schedule.upTo({ times: 6 }),
  Schedule.modifyDelay(({ duration, input }: { readonly duration: Duration.Duration; readonly input: Attempt }) =>
    Effect.succeed(input.verdict.kind === "throttled" ? Duration.times(duration, 4) : duration)
  ),
  Schedule.jittered
)

interface Attempt {
  readonly verdict: Verdict
  readonly cause: unknown
}

/** The port and its operation on whose behalf a call is made. */
export interface Purpose {
  readonly port: string
  readonly operation: string
}

export interface CallOptions {
  readonly purpose: Purpose
  readonly request: AwsRequest
  /** What the service itself is asked to wait. */
  readonly wait?: Duration.Duration
  /** Refusals that the caller acts on; all others are a `StoreError`. */
  readonly expected?: ReadonlyArray<string>
}

export class Aws extends Context.Service<Aws, {
  readonly settings: AwsSettings
  readonly clientConfig: ClientConfig
  /** `{install}-{name}`: of tables, buckets and queues. */
  readonly named: (name: string) => string
  readonly call: <A>(
    options: CallOptions,
    send: (signal: AbortSignal) => Promise<A>
  ) => Effect.Effect<A, StoreError | AwsRefusal>
}>()("km/runtime/engines/aws/Aws") {
  static readonly layer = (settings: AwsSettings): Layer.Layer<Aws> => Layer.sync(Aws, () => Aws.of(makeAws(settings)))
}

const makeAws = (settings: AwsSettings): Aws["Service"] => {
  const around: AwsAround = settings.around ?? ((_request, send) => send)
  return {
    settings,
    clientConfig: {
      region: settings.region,
      maxAttempts: 1,
      ...(settings.endpoint === undefined ? {} : { endpoint: settings.endpoint }),
      ...(settings.credentials === undefined ? {} : { credentials: settings.credentials }),
      ...(settings.requestHandler === undefined ? {} : { requestHandler: settings.requestHandler })
    },
    named: (name) => `${settings.install}-${name}`,
    call: (options, send) => {
      const { expected = [], purpose, request, wait = Duration.zero } = options
      const answer = Effect.tryPromise({ try: send, catch: (cause) => new AwsFailure({ cause }) })
      const attempt = Effect.suspend(() => around(request, answer)).pipe(
        Effect.timeoutOrElse({
          duration: Duration.sum(requestPatience, wait),
          orElse: () => Effect.fail(unanswered())
        }),
        Effect.mapError(({ cause }): Attempt => ({ cause, verdict: judge(cause) }))
      )
      return attempt.pipe(
        Effect.retry({ schedule: patience, while: ({ verdict }) => verdict.kind !== "final" }),
        Effect.mapError(({ cause, verdict }) =>
          verdict.kind === "final" && expected.includes(verdict.code)
            ? new AwsRefusal({ code: verdict.code, cause })
            : new StoreError({ ...purpose, reason: verdict.reason, detail: verdict.detail, cause })
        )
      )
    }
  }
}

/**
 * A client that is loaded and opened by its first use: a process pays only for services that it calls. Closed with the scope.
 */
export const lazyClient = <Opened extends { readonly client: { readonly destroy: () => void } }>(
  open: () => Promise<Opened>
) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => ({ opened: undefined as Promise<Opened> | undefined })),
      ({ opened }) =>
        opened === undefined
          ? Effect.void
          : Effect.promise(() => opened.then(({ client }) => client.destroy(), () => {}))
    ),
    (state) => () => state.opened ??= open()
  )
