/** Secrets as SecureString parameters below `/{install}/`. What was read is kept for a minute, since calls are few per second. */
import type { GetParametersByPathCommandOutput } from "@aws-sdk/client-ssm"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { checkSecret, type FoundSecret, secretPath, Secrets, underPath } from "../../ports/Secrets.ts"
import type { StoreError } from "../../ports/StoreError.ts"
import { Aws, lazyClient, type Purpose } from "./Aws.ts"
import type { AwsRefusal } from "./AwsFailures.ts"

/** How long a process may go on with a value that was replaced elsewhere. */
const maxAgeMillis = 60_000

/** SSM's own limit of one request. */
const batchDeletes = 10

const notFound = ["ParameterNotFound"]

const of = (operation: string): Purpose => ({ port: "Secrets", operation })

const orNothing = <A>(effect: Effect.Effect<A, StoreError | AwsRefusal>): Effect.Effect<A | undefined, StoreError> =>
  Effect.catchTag(effect, "AwsRefusal", () => Effect.undefined)

const byPath = (a: FoundSecret, b: FoundSecret): number => a.path < b.path ? -1 : 1

const labelled = (path: string, value: string) => Redacted.make(value, { label: path })

const make = Effect.gen(function*() {
  const aws = yield* Aws
  const root = `/${aws.settings.install}`
  const opened = yield* lazyClient(async () => {
    const sdk = await import("./ssmSdk.ts")
    return { sdk, client: new sdk.SSMClient(aws.clientConfig) }
  })
  type Opened = Awaited<ReturnType<typeof opened>>
  const call = <A>(
    purpose: Purpose,
    operation: string,
    input: object,
    send: (opened: Opened, signal: AbortSignal) => Promise<A>
  ) =>
    aws.call(
      { purpose, expected: notFound, request: { service: "ssm", operation, input } },
      async (signal) => send(await opened(), signal)
    )
  const known = new Map<string, { readonly value: Redacted.Redacted<string>; readonly until: number }>()

  const read = Effect.fnUntraced(function*(operation: string, path: string, WithDecryption: boolean) {
    const input = { Name: `${root}/${path}`, WithDecryption }
    const answer = yield* orNothing(
      call(
        of(operation),
        "GetParameter",
        input,
        ({ client, sdk }, abortSignal) => client.send(new sdk.GetParameterCommand(input), { abortSignal })
      )
    )
    return answer?.Parameter?.Value
  })
  /** What lies at a path and below it. The value is no secret's unless it is decrypted. */
  const found = Effect.fnUntraced(function*(operation: string, path: string, WithDecryption: boolean) {
    const secrets: Array<FoundSecret> = []
    const own = path === "" ? undefined : yield* read(operation, path, WithDecryption)
    if (own !== undefined) secrets.push({ path, value: labelled(path, own) })
    let NextToken: string | undefined
    do {
      const input = {
        Path: path === "" ? root : `${root}/${path}`,
        Recursive: true,
        WithDecryption,
        ...(NextToken === undefined ? {} : { NextToken })
      }
      const answer: GetParametersByPathCommandOutput | undefined = yield* orNothing(
        call(
          of(operation),
          "GetParametersByPath",
          input,
          ({ client, sdk }, abortSignal) => client.send(new sdk.GetParametersByPathCommand(input), { abortSignal })
        )
      )
      for (const { Name = "", Value = "" } of answer?.Parameters ?? []) {
        const name = Name.slice(root.length + 1)
        secrets.push({ path: name, value: labelled(name, Value) })
      }
      NextToken = answer?.NextToken
    } while (NextToken !== undefined)
    return secrets.toSorted(byPath)
  })
  const remove = Effect.fnUntraced(function*(operation: string, paths: ReadonlyArray<string>) {
    for (let start = 0; start < paths.length; start += batchDeletes) {
      const input = { Names: paths.slice(start, start + batchDeletes).map((path) => `${root}/${path}`) }
      yield* orNothing(
        call(
          of(operation),
          "DeleteParameters",
          input,
          ({ client, sdk }, abortSignal) => client.send(new sdk.DeleteParametersCommand(input), { abortSignal })
        )
      )
    }
    for (const path of paths) known.delete(path)
  })

  return Secrets.of({
    get: Effect.fnUntraced(function*(path) {
      yield* secretPath("get", path)
      const now = yield* Clock.currentTimeMillis
      const kept = known.get(path)
      if (kept !== undefined && now < kept.until) return Option.some(kept.value)
      known.delete(path)
      const value = yield* read("get", path, true)
      if (value === undefined) return Option.none()
      const secret = labelled(path, value)
      // From when it was asked for: the answer may have been on its way for long.
      known.set(path, { value: secret, until: now + maxAgeMillis })
      return Option.some(secret)
    }),
    put: Effect.fnUntraced(function*(path, value) {
      yield* checkSecret(value)
      yield* secretPath("put", path)
      const Name = `${root}/${path}`
      const send = ({ client, sdk }: Opened, abortSignal: AbortSignal) =>
        client.send(
          new sdk.PutParameterCommand({
            Name,
            Type: "SecureString",
            Tier: "Standard",
            Overwrite: true,
            Value: Redacted.value(value)
          }),
          { abortSignal }
        )
      // Whoever stands between us and the service is told the name alone.
      const answer = yield* orNothing(call(of("put"), "PutParameter", { Name }, send))
      known.delete(path)
      return answer?.Version ?? 1
    }),
    delete: Effect.fnUntraced(function*(path) {
      yield* secretPath("delete", path)
      yield* remove("delete", [path])
    }),
    deleteUnder: Effect.fnUntraced(function*(path) {
      yield* secretPath("deleteUnder", path)
      const there = yield* found("deleteUnder", path, false)
      yield* remove("deleteUnder", there.map((one) => one.path))
    }),
    under: Effect.fnUntraced(function*(path) {
      yield* underPath(path)
      return yield* found("under", path, true)
    })
  })
})

export const layer: Layer.Layer<Secrets, never, Aws> = Layer.effect(Secrets, make)
