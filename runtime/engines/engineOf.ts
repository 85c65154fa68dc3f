/**
 * The engine that an install asks for, with its secrets as far as the process may have them, and its audit. The only place
 * that names both; composition roots open an install by it.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { EngineRefused } from "../adapters/disk/EngineErrors.ts"
import { ownMemory } from "../adapters/disk/ownMemory.ts"
import { openStateDirectory, statePaths } from "../adapters/disk/StateDirectory.ts"
import type { Install } from "../domain/install/Install.ts"
import type { SecretsScope } from "../domain/install/ProcessSecrets.ts"
import type { Audit, AuditWriter } from "../ports/Audit.ts"
import { InstallStore } from "../ports/InstallStore.ts"
import type { MailSpool } from "../ports/MailSpool.ts"
import { scopedSecrets, Secrets, secretsWithoutCertifier } from "../ports/Secrets.ts"
import type { StoreError } from "../ports/StoreError.ts"
import type { AwsUse } from "./aws/openAws.ts"
import * as EmbeddedEngine from "./embedded/EmbeddedEngine.ts"
import * as FileAudit from "./embedded/FileAudit.ts"
import * as FileInstallStore from "./embedded/FileInstallStore.ts"
import * as FileSecrets from "./embedded/FileSecrets.ts"
import * as SqliteMailSpool from "./embedded/SqliteMailSpool.ts"

/** What of an install says where its state lives. */
export type EngineChoice = Pick<Install, "install" | "engine" | "aws">

export interface EngineUse {
  /** The state directory of this machine, which every engine needs: sandboxes' own disks, locks, `install.json`. */
  readonly state: string
  readonly choice: EngineChoice
  /** Whose chain of the audit this process writes. */
  readonly writer: AuditWriter
  /** `unattended`: all but the certifier's. */
  readonly secrets: SecretsScope | "all" | "unattended"
  /** See `EngineOptions.check`. */
  readonly check?: boolean
  /** Makes what the engine needs elsewhere and does not have yet: for a person's own command. */
  readonly make?: boolean
}

export type EnginePorts = EmbeddedEngine.EnginePorts | Audit | InstallStore | Secrets

const limited = (secrets: Secrets["Service"], scope: EngineUse["secrets"]): Secrets["Service"] =>
  scope === "all" ? secrets : scope === "unattended" ? secretsWithoutCertifier(secrets) : scopedSecrets(secrets, scope)

const limitedTo = <A, E>(
  layer: Layer.Layer<A | Secrets, E>,
  scope: EngineUse["secrets"]
): Layer.Layer<A | Secrets, E> =>
  Layer.provideMerge(
    Layer.effect(Secrets, Effect.map(Secrets, (secrets) => limited(secrets, scope))),
    layer
  )

const embedded = (
  { check = true, secrets, state, writer }: EngineUse
): Layer.Layer<EnginePorts, StoreError | EngineRefused> =>
  Layer.mergeAll(
    EmbeddedEngine.layer(state, { check }),
    Layer.provideMerge(FileAudit.layer(state, writer), FileInstallStore.layer(state)),
    limitedTo(FileSecrets.layer(statePaths(state).secrets), secrets)
  )

const placeOf = ({ aws, engine }: EngineChoice) => engine === "aws" ? aws : undefined

/** Loaded here and nowhere else, so that nobody pays for it who does not use it. */
const onAws = (state: string, use: AwsUse) =>
  ownMemory(Layer.unwrap(Effect.gen(function*() {
    yield* openStateDirectory(state)
    const { openAws } = yield* Effect.promise(() => import("./aws/openAws.ts"))
    return openAws(use)
  })))

/** The settings are those of this machine's `install.json`, by which it knows its engine; where the audit ends is the engine's. */
const withOwnSettings = <A, E>(
  state: string,
  layer: Layer.Layer<A | InstallStore, E>
): Layer.Layer<A | InstallStore, E> =>
  Layer.provideMerge(
    Layer.effect(
      InstallStore,
      Effect.gen(function*() {
        const { heads, putHead } = yield* InstallStore
        const own = Context.get(yield* Layer.build(FileInstallStore.layer(state)), InstallStore)
        return InstallStore.of({ get: own.get, put: own.put, heads, putHead })
      })
    ),
    layer
  )

/** Refuses a state directory that others can read (KM-ENG codes). Build it once per process. */
export const engineOf = (use: EngineUse): Layer.Layer<EnginePorts, StoreError | EngineRefused> => {
  const { choice: { install, ...choice }, make = false, secrets, state, writer } = use
  const place = placeOf({ install, ...choice })
  return place === undefined
    ? embedded(use)
    : withOwnSettings(state, limitedTo(onAws(state, { install, place, make, writer }), secrets))
}

/** For the relay's client alone, which needs nothing else but its password. */
export const mailSpoolOf = (
  { choice, secrets, state, writer }: EngineUse
): Layer.Layer<MailSpool | Secrets, StoreError | EngineRefused> => {
  const place = placeOf(choice)
  return place === undefined
    ? Layer.merge(SqliteMailSpool.layer(state), limitedTo(FileSecrets.layer(statePaths(state).secrets), secrets))
    : limitedTo(onAws(state, { install: choice.install, place, make: false, writer }), secrets)
}
