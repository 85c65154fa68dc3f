/** Secrets by path (`slack/bot-token`, `sandbox/{id}/signing-key`), as SSM names them under `/{prefix}/`. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { SecretsScope } from "../domain/install/ProcessSecrets.ts"
import { StoreError } from "./StoreError.ts"

const denied = (operation: string, detail: string): StoreError =>
  new StoreError({ port: "Secrets", operation, reason: "Denied", detail, cause: undefined })

/** Lower-case words, at most eight; never `v1`, which would look like a version of the secret above it. */
const segmentPattern = /^(?!v\d+$)[a-z0-9][a-z0-9._-]{0,79}$/

/** The parts of a secret's path; `Denied` for anything that is not one. */
export const secretPath = (operation: string, path: string): Effect.Effect<ReadonlyArray<string>, StoreError> => {
  const segments = path.split("/")
  return segments.length <= 8 && segments.every((segment) => segmentPattern.test(segment))
    ? Effect.succeed(segments)
    : Effect.fail(denied(operation, "this is no path of a secret"))
}

/** The key that certifies all others: for create and rotate only, so never within a scope that does not say so. */
const certifierPrefix = "certifier"

export const liesBelow = (path: string, prefix: string): boolean =>
  path === prefix.replace(/\/$/, "") || path.startsWith(prefix.endsWith("/") ? prefix : `${prefix}/`)

const isCertifiers = (path: string): boolean => liesBelow(path, certifierPrefix)

const isNotCertifiers = (path: string): boolean => !isCertifiers(path)

interface Rights {
  readonly reads: (path: string) => boolean
  readonly writes: (path: string) => boolean
  readonly deletes: (path: string) => boolean
}

const guarded = <A>(
  operation: string,
  path: string,
  may: (path: string) => boolean,
  act: () => Effect.Effect<A, StoreError>
) =>
  Effect.suspend(() =>
    may(path) ? act() : Effect.fail(denied(operation, `${path} is outside of this process's secrets`))
  )

const limited = (secrets: Secrets["Service"], { deletes, reads, writes }: Rights): Secrets["Service"] => {
  return Secrets.of({
    get: (path) => guarded("get", path, reads, () => secrets.get(path)),
    put: (path, value) => guarded("put", path, writes, () => secrets.put(path, value)),
    delete: (path) => guarded("delete", path, deletes, () => secrets.delete(path)),
    deleteUnder: (path) => guarded("deleteUnder", path, deletes, () => secrets.deleteUnder(path)),
    under: (path) => Effect.map(secrets.under(path), (found) => found.filter((one) => reads(one.path)))
  })
}

/**
 * The same secrets as far as the scope names them; everything else is `Denied`, and absent from `under`. A prefix that
 * would be everything is nothing.
 */
export const scopedSecrets = (secrets: Secrets["Service"], scope: SecretsScope): Secrets["Service"] => {
  const { certifier = false, except = [], read, write = [], delete: deletable = [] } = scope
  const within = (prefixes: ReadonlyArray<string>) => (path: string) =>
    (certifier || !isCertifiers(path)) && prefixes.some((prefix) => prefix !== "" && liesBelow(path, prefix))
    // What holds an exception is one itself, to what acts on everything below a path.
    && !except.some((prefix) => liesBelow(path, prefix) || liesBelow(prefix, path))
  return limited(secrets, { reads: within(read), writes: within(write), deletes: within([...write, ...deletable]) })
}

/** The same secrets but the certifier's, which are `Denied` and absent from `under`: for what runs without a person. */
export const secretsWithoutCertifier = (secrets: Secrets["Service"]): Secrets["Service"] => {
  return limited(secrets, { reads: isNotCertifiers, writes: isNotCertifiers, deletes: isNotCertifiers })
}

/** A secret with its newest value. */
export interface FoundSecret {
  readonly path: string
  readonly value: Redacted.Redacted<string>
}

/** Bytes of UTF-8: a standard parameter of SSM. Source: AWS Systems Manager quotas. */
export const maxSecretBytes = 4_096

/** Fails with `TooLarge` when an engine would refuse the value. */
export const checkSecret = (value: Redacted.Redacted<string>): Effect.Effect<void, StoreError> => {
  const bytes = new TextEncoder().encode(Redacted.value(value)).length
  return bytes <= maxSecretBytes ? Effect.void : Effect.fail(
    new StoreError({
      port: "Secrets",
      operation: "put",
      reason: "TooLarge",
      detail: `the value has ${bytes} bytes, at most ${maxSecretBytes} are taken`,
      cause: undefined
    })
  )
}

/** Where `under` looks: a path, or "" for everything. */
export const underPath = (path: string): Effect.Effect<ReadonlyArray<string>, StoreError> =>
  path === "" ? Effect.succeed([]) : secretPath("under", path)

export class Secrets extends Context.Service<Secrets, {
  readonly get: (path: string) => Effect.Effect<Option.Option<Redacted.Redacted<string>>, StoreError>
  /**
   * At most 4 KB, else `TooLarge`. Returns the version written: 1 for a path that has none, also after `delete`. Older
   * versions stay readable by `km` only.
   */
  readonly put: (path: string, value: Redacted.Redacted<string>) => Effect.Effect<number, StoreError>
  /** All versions. Idempotent. */
  readonly delete: (path: string) => Effect.Effect<void, StoreError>
  /** All versions of every secret at or below a path, by whole segments; gives no value out. Idempotent. */
  readonly deleteUnder: (path: string) => Effect.Effect<void, StoreError>
  /** Every secret at or below a path, by whole segments, sorted by path; below "" is every one. One call, not one each. */
  readonly under: (path: string) => Effect.Effect<ReadonlyArray<FoundSecret>, StoreError>
}>()("km/runtime/ports/Secrets") {}
