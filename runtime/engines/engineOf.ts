/**
 * The engine that an install asks for, with its secrets as far as a process may have them, and its audit. The only place
 * that names both; composition roots open an install by it.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { EngineRefused } from "../adapters/disk/EngineErrors.ts"
import { ownMemory } from "../adapters/disk/ownMemory.ts"
import { openStateDirectory, statePaths } from "../adapters/disk/StateDirectory.ts"
import type { AwsPlace } from "../domain/install/AwsPlace.ts"
import type { Install } from "../domain/install/Install.ts"
import type { SecretsScope } from "../domain/install/ProcessSecrets.ts"
import type { Audit, AuditWriter } from "../ports/Audit.ts"
import { InstallStore } from "../ports/InstallStore.ts"
import type { MailSpool } from "../ports/MailSpool.ts"
import { scopedSecrets, Secrets, secretsWithoutCertifier } from "../ports/Secrets.ts"
import type { StoreError } from "../ports/StoreError.ts"
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

type Opening<A> = Layer.Layer<A, StoreError | EngineRefused>

const limited = (secrets: Secrets["Service"], scope: EngineUse["secrets"]): Secrets["Service"] =>
  scope === "all" ? secrets : scope === "unattended" ? secretsWithoutCertifier(secrets) : scopedSecrets(secrets, scope)

/** The same ports, with secrets as far as the scope names them. */
const limitedTo = <A>(ports: Opening<A | Secrets>, scope: EngineUse["secrets"]): Opening<A | Secrets> =>
  Layer.provideMerge(Layer.effect(Secrets, Effect.map(Secrets, (secrets) => limited(secrets, scope))), ports)

const fileSecrets = ({ secrets, state }: EngineUse): Opening<Secrets> =>
  limitedTo(FileSecrets.layer(statePaths(state).secrets), secrets)

const embedded = (use: EngineUse): Opening<EnginePorts> =>
  Layer.mergeAll(
    EmbeddedEngine.layer(use.state, { check: use.check ?? true }),
    Layer.provideMerge(FileAudit.layer(use.state, use.writer), FileInstallStore.layer(use.state)),
    fileSecrets(use)
  )

/** Loaded here and nowhere else, so that nobody pays for it who does not use it. */
const aws = ({ choice, make = false, secrets, state, writer }: EngineUse, place: AwsPlace) =>
  limitedTo(
    ownMemory(Layer.unwrap(Effect.gen(function*() {
      const { bells } = yield* openStateDirectory(state)
      const { openAws } = yield* Effect.promise(() => import("./aws/openAws.ts"))
      return openAws({ bells, install: choice.install, place, make, writer })
    }))),
    secrets
  )

/** The settings are those of this machine's `install.json`, by which it knows its engine; where the audit ends is the engine's. */
const withOwnSettings = <A>(state: string, ports: Opening<A | InstallStore>): Opening<A | InstallStore> =>
  Layer.provideMerge(
    Layer.effect(
      InstallStore,
      Effect.gen(function*() {
        const { heads, putHead } = yield* InstallStore
        const own = Context.get(yield* Layer.build(FileInstallStore.layer(state)), InstallStore)
        return InstallStore.of({ get: own.get, put: own.put, heads, putHead })
      })
    ),
    ports
  )

const placeOf = ({ aws: place, engine }: EngineChoice): AwsPlace | undefined => engine === "aws" ? place : undefined

/** Refuses a state directory that others can read (KM-ENG codes). Build it once per process. */
export const engineOf = (use: EngineUse): Opening<EnginePorts> => {
  const place = placeOf(use.choice)
  return place === undefined ? embedded(use) : withOwnSettings(use.state, aws(use, place))
}

/** For the relay's client, which needs nothing else but its password. */
export const mailSpoolOf = (use: EngineUse): Opening<MailSpool | Secrets> => {
  const place = placeOf(use.choice)
  return place === undefined ? Layer.merge(SqliteMailSpool.layer(use.state), fileSecrets(use)) : aws(use, place)
}

/** For who stores a secret and does nothing else. */
export const secretsOf = (use: EngineUse): Opening<Secrets> => {
  const place = placeOf(use.choice)
  return place === undefined ? fileSecrets(use) : aws(use, place)
}
