/**
 * How a sandbox comes to be: a saga over ports. Each thing is written into the inventory before it is made, so that a
 * crash leaves a name to look for; a step that fails undoes what there is; the same create again continues.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { randomUUID } from "node:crypto"
import { grantRef, isSameGrant } from "../../domain/github/Grant.ts"
import { certify, maxCertificateSeconds } from "../../domain/identity/Certificate.ts"
import type { SigningKey } from "../../domain/identity/Ed25519.ts"
import { generateSeed } from "../../domain/identity/Ed25519.ts"
import {
  defaultMailDomain,
  directoryPinPath,
  hasMail,
  mailAddressesOf,
  opensMail
} from "../../domain/identity/MailIdentity.ts"
import { durationMillis, Profile } from "../../domain/profile/Profile.ts"
import { type Alias, type InstallName, SandboxId } from "../../domain/sandbox/Ids.ts"
import { type InventoryItem, isEnding, isSameItem, type SandboxRow } from "../../domain/sandbox/Sandbox.ts"
import { Bridge } from "../../ports/Bridge.ts"
import { GithubApps } from "../../ports/GithubApps.ts"
import { Identities } from "../../ports/Identities.ts"
import { InstallStore } from "../../ports/InstallStore.ts"
import { Sandboxes, withItem } from "../../ports/Sandboxes.ts"
import { SandboxHost } from "../../ports/SandboxHost.ts"
import { Secrets } from "../../ports/Secrets.ts"
import { TurnQueue } from "../../ports/TurnQueue.ts"
import { compileGrants, githubRefused } from "../github/compileGrants.ts"
import { makeSandboxTokens, type RenewFailed, writesOf } from "../github/SandboxTokens.ts"
import { certifierKeyPath, makePin, signingKeyFromText } from "../identity/Certifier.ts"
import { certifiedUntil, endFormerHolders, renewKey, rotatable, signingKeyPath } from "../identity/KeyRotation.ts"
import { certifyMail, ensureSecret, mailSecrets, renewBeforeSeconds } from "../identity/MailIdentities.ts"
import { channelPlanOf } from "./ChannelPlan.ts"
import { ask } from "./OperatorBridge.ts"
import { SandboxRefused } from "./SandboxErrors.ts"
import { Teardown } from "./Teardown.ts"

export interface CreateRequest {
  readonly id: SandboxId
  readonly install: InstallName
  readonly alias: Alias | undefined
  readonly profile: Profile
  /** The operator accepts an agent without a jail. */
  readonly unconfined: boolean
  /** Of the install; `{install}.invalid` where it names none. */
  readonly mailDomain?: string | undefined
  /** From the start of the runtime until it has polled its queue. */
  readonly readyWithin: Duration.Duration
}

/** Chat comes by the queue, and a replay of what mail started. */
const takesTurns = ({ spec: { cli, email } }: Profile): boolean =>
  cli.notifySlackInboundEnabled || (cli.notifyEmailEnabled && email.onReceive === "turn")

/** The steps in order, as `km create` shows them. */
export type CreateStep = "row" | "key" | "identity" | "github" | "queue" | "channel" | "start" | "ready"
export type CreateProgress = (step: CreateStep, detail: string) => Effect.Effect<void>

export class Provisioning extends Context.Service<Provisioning, {
  /**
   * Returns the row of a running sandbox. After a typed failure nothing of it is left (`KM-CLI-105` says when that could
   * not be done); after an interruption or a crash the row stays, and the same request continues.
   */
  readonly create: (
    request: CreateRequest,
    progress?: CreateProgress
  ) => Effect.Effect<SandboxRow, SandboxRefused>
  /** Certifies the sandbox's key anew when its newest certificate ends within 10 days. True when it did. */
  readonly renewCertificate: (row: SandboxRow) => Effect.Effect<boolean, SandboxRefused>
}>()("km/runtime/kernel/sandboxes/Provisioning") {
  static readonly layer = Layer.effect(Provisioning, Effect.suspend(() => make))
}

/** A certificate for a bridge key, valid from 5 minutes ago (clocks differ) for 30 days in all. */
export const bridgeCertificate = (
  certifier: SigningKey,
  install: InstallName,
  subject: SandboxId | "operator",
  key: SigningKey,
  nowMillis: number
) => {
  const notBefore = Math.floor(nowMillis / 1_000) - 300
  return certify(certifier, {
    version: 1,
    install,
    subject,
    addresses: [],
    purpose: subject === "operator" ? "operator" : "bridge",
    keyId: key.keyId,
    publicKey: Buffer.from(key.publicKey).toString("base64"),
    notBefore,
    notAfter: notBefore + maxCertificateSeconds
  })
}

const sameProfile = Schema.toEquivalence(Profile)

/** Looks every half second. */
const looks = Schedule.spaced("500 millis")

/** A store's failure stays one: the whole create translates it. */
const renewRefused = (error: RenewFailed) => error._tag === "GithubFailed" ? githubRefused(error) : error

const failed = (id: SandboxId, step: CreateStep, reason: string, remedy = "then run the same command again") =>
  new SandboxRefused({ code: "KM-CLI-103", sandbox: id, step, reason, remedy })

const conflict = (id: SandboxId, reason: string, remedy: string) =>
  new SandboxRefused({ code: "KM-CLI-102", sandbox: id, step: "row", reason, remedy })

/** The end of the sandbox began, or another life of its id, while it was being made. */
class Overtaken extends Data.TaggedError("Overtaken") {}

/** Under which a create goes on: the same life, not ending. */
const aliveAs = ({ generation }: SandboxRow) => ({ generation, ending: false } as const)

const make = Effect.gen(function*() {
  const bridge = yield* Bridge
  const host = yield* SandboxHost
  const identities = yield* Identities
  const queue = yield* TurnQueue
  const sandboxes = yield* Sandboxes
  const secrets = yield* Secrets
  const teardown = yield* Teardown
  const apps = yield* GithubApps
  const installs = yield* InstallStore
  const tokens = yield* makeSandboxTokens
  /** By generation: the rows of creates under way, with everything that they have planned or made. */
  const making = new Map<string, SandboxRow>()

  const certifierOf = Effect.fnUntraced(function*(id: SandboxId) {
    const text = yield* secrets.get(certifierKeyPath)
    const key = Option.isSome(text) ? signingKeyFromText(Redacted.value(text.value)) : undefined
    if (key !== undefined) return key
    return yield* new SandboxRefused({
      code: "KM-CLI-106",
      sandbox: id,
      step: "identity",
      reason: "this install has no certifier key",
      remedy: "put secrets/certifier back, which the first km up made"
    })
  })

  /** The row to go on with: a new one, or that of an interrupted create with the same profile. */
  const beginRow = Effect.fnUntraced(function*(request: CreateRequest) {
    const { alias, id, install, profile, unconfined } = request
    const found = yield* sandboxes.get(id)
    if (Option.isSome(found)) {
      const row = found.value
      if (row.status === "destroying") {
        return yield* conflict(id, "it is being destroyed", `look at "km status ${id}" and wait until it is gone`)
      }
      if (row.status === "stopped" || row.status === "failed") {
        return yield* conflict(id, `it exists and is ${row.status}`, `look at "km status ${id}"; use another id`)
      }
      if (!sameProfile(row.profile, profile) || row.alias !== alias) {
        return yield* conflict(id, "it exists with another profile or alias", "use another id, or destroy it first")
      }
      return row
    }
    if (alias === "operator") {
      return yield* new SandboxRefused({
        code: "KM-CLI-101",
        sandbox: id,
        step: "row",
        reason: `"operator" is the operator's own name, also as a mail address`,
        remedy: "choose another alias"
      })
    }
    const createdAt = yield* Clock.currentTimeMillis
    const ttl = durationMillis(profile.spec.lifecycle.ttl)
    const row: SandboxRow = {
      id,
      install,
      ...(alias === undefined ? {} : { alias }),
      profile,
      desired: "stopped",
      status: "creating",
      unconfined,
      ...(ttl === 0 ? {} : { expiresAt: createdAt + ttl }),
      createdAt,
      generation: randomUUID(),
      // What comes to be while it runs is named from the start.
      inventory: [
        ...(alias === undefined ? [] : [{ kind: "alias", ref: alias, state: "made" } as const]),
        { kind: "threads", ref: id, state: "planned" },
        { kind: "objects", ref: id, state: "planned" },
        ...(hasMail(profile) ? [{ kind: "mailbox", ref: id, state: "planned" } as const] : [])
      ]
    }
    yield* sandboxes.insert(row)
    return row
  })

  /**
   * Plans, makes, records; a thing that an interrupted create had made already is not made again. Each write holds for
   * this life of the sandbox and only until its end begins: what was made meanwhile is then the create's to undo.
   */
  const item = Effect.fnUntraced(function*<E>(
    row: SandboxRow,
    kind: InventoryItem["kind"],
    ref: string,
    act: Effect.Effect<Partial<Omit<SandboxRow, "inventory">>, E>
  ) {
    const known = row.inventory.find((other) => isSameItem(other, { kind, ref }))
    if (known?.state === "made") return row
    const planned = { kind, ref, state: "planned" } as const
    if (known === undefined) {
      if (!(yield* sandboxes.addItem(row.id, planned, aliveAs(row)))) return yield* new Overtaken()
      making.set(row.generation, { ...row, inventory: withItem(row.inventory, planned) })
    }
    const changes = yield* act
    const made = { kind, ref, state: "made" } as const
    const next = { ...row, ...changes, inventory: withItem(row.inventory, made) }
    making.set(row.generation, next)
    return (yield* sandboxes.addItem(row.id, made, aliveAs(row), changes)) ? next : yield* new Overtaken()
  })

  const makeKey = Effect.fnUntraced(function*(id: SandboxId) {
    const path = signingKeyPath(id)
    const found = yield* secrets.get(path)
    if (Option.isSome(found) && signingKeyFromText(Redacted.value(found.value)) !== undefined) return {}
    yield* secrets.put(path, Redacted.make(Buffer.from(generateSeed()).toString("base64")))
    return {}
  })

  const certifyKey = Effect.fnUntraced(function*(row: Pick<SandboxRow, "id" | "install">) {
    const certifier = yield* certifierOf(row.id)
    const text = yield* secrets.get(signingKeyPath(row.id))
    const key = Option.isSome(text) ? signingKeyFromText(Redacted.value(text.value)) : undefined
    if (key === undefined) return yield* failed(row.id, "identity", "its signing key cannot be read")
    const now = yield* Clock.currentTimeMillis
    yield* identities.put(row.id, "bridge", key.keyId, bridgeCertificate(certifier, row.install, row.id, key, now))
    return {}
  })

  /** An alias that is another sandbox's id gives no address: an id always names its own sandbox. */
  const addressesOf = Effect.fnUntraced(function*({ alias, id, install, mailDomain }: CreateRequest) {
    const isId = alias !== undefined && Schema.is(SandboxId)(alias) && Option.isSome(yield* sandboxes.get(alias))
    const usable = isId || alias === "operator" ? undefined : alias
    return mailAddressesOf(id, usable, mailDomain ?? defaultMailDomain(install))
  })

  const certifyMailKeys = Effect.fnUntraced(function*(row: SandboxRow, addresses: ReadonlyArray<string>) {
    const certifier = yield* certifierOf(row.id)
    const who = { install: row.install, subject: row.id, addresses, madeAt: row.createdAt }
    const living = new Set((yield* sandboxes.list).map(({ id }) => id))
    yield* endFormerHolders(
      { identities, secrets },
      certifier,
      who,
      addresses,
      (subject) => subject !== "operator" && !living.has(subject)
    ).pipe(
      Effect.catchTag(
        "IdentityRefused",
        ({ reason, remedy }) => Effect.fail(failed(row.id, "identity", reason, remedy))
      )
    )
    if (yield* certifyMail({ identities, secrets }, certifier, who)) return { mailAddresses: addresses }
    return yield* failed(row.id, "identity", "its mail key cannot be read")
  })

  const makeMail = Effect.fnUntraced(function*(request: CreateRequest, begun: SandboxRow) {
    let row = begun
    if (!hasMail(row.profile)) return row
    for (const [path, makeSecret] of mailSecrets(row.id, opensMail(row.profile))) {
      row = yield* item(row, "secret", path, Effect.as(ensureSecret(secrets, path, makeSecret), {}))
    }
    row = yield* item(row, "secret", directoryPinPath(row.id), Effect.as(makePin(secrets, row.id), {}))
    return yield* item(row, "identity", `${row.id}/mail`, certifyMailKeys(row, yield* addressesOf(request)))
  })

  /**
   * Resolved once: a create that goes on keeps the grants that the row has. Each grant's tokens are in the inventory before
   * they are made.
   */
  const makeGithub = Effect.fnUntraced(function*(begun: SandboxRow) {
    const { allowedRepos } = begun.profile.spec.sourceAccess.github
    if (allowedRepos.length === 0) return begun
    const compiled = begun.github ?? (yield* compileGrants(begun.profile, (yield* installs.get).github ?? []))
    let row = begun
    for (const grant of compiled) {
      row = yield* item(
        row,
        "github",
        grantRef(grant),
        Effect.map(Effect.mapError(tokens.renew(row.id, grant, writesOf(row.profile)), renewRefused), (renewed) => ({
          github: (row.github ?? compiled).map((one) => isSameGrant(one, grant) ? renewed : one)
        }))
      )
    }
    return row
  }, (effect, { id }) =>
    effect.pipe(
      Effect.provideService(GithubApps, apps),
      Effect.catchTags({
        GrantRefused: ({ code, reason, remedy }) =>
          Effect.fail(new SandboxRefused({ code, sandbox: id, step: "github", reason, remedy })),
        InstallMissing: ({ message }) => Effect.fail(failed(id, "github", message))
      })
    ))

  const makeChannel = Effect.fnUntraced(function*(row: SandboxRow) {
    const previous = row.alias === undefined ? Option.none() : yield* sandboxes.channelOfAlias(row.alias)
    const plan = channelPlanOf(row, Option.getOrUndefined(previous))
    if (plan === undefined) return row
    if (plan.mode === "override") {
      return yield* item(
        row,
        "channel",
        plan.channel,
        Effect.succeed({ channel: plan.channel, channelMode: plan.mode })
      )
    }
    return yield* item(
      row,
      "channel",
      plan.name,
      Effect.gen(function*() {
        const answer = yield* ask(bridge, plan.key, plan.action)
        if (answer._tag !== "Done") return yield* failed(row.id, "channel", answer.reason)
        const channel = answer.result.channel
        if (channel === undefined) return yield* failed(row.id, "channel", "the bridge named no channel")
        for (const warning of channel.warnings) yield* Effect.logWarning("channel", warning)
        if (row.alias !== undefined && plan.mode === "perSandbox") {
          yield* sandboxes.rememberChannel(row.alias, channel.id)
        }
        return {
          channel: channel.id,
          channelName: channel.name,
          channelMode: plan.mode,
          channelReused: !channel.created
        }
      })
    )
  })

  /** The same life of the id, and its end has not begun. */
  const isAlive = (row: SandboxRow) =>
    Effect.map(
      sandboxes.get(row.id),
      Option.exists((now) => now.generation === row.generation && !isEnding(now))
    )

  const awaitReady = Effect.fnUntraced(function*(row: SandboxRow, within: Duration.Duration) {
    const state = Effect.gen(function*() {
      if (yield* host.ready(row.id)) return "ready" as const
      return (yield* isAlive(row)) ? yield* Effect.fail("pending" as const) : "overtaken" as const
    }).pipe(
      Effect.retry({ schedule: looks, while: (error) => error === "pending" }),
      Effect.catchIf((error) => error === "pending", (error) => Effect.succeed(error)),
      Effect.timeoutOrElse({ duration: within, orElse: () => Effect.succeed("pending" as const) })
    )
    const came = yield* state
    if (came === "ready") return
    if (came === "overtaken") return yield* new Overtaken()
    return yield* new SandboxRefused({
      code: "KM-CLI-104",
      sandbox: row.id,
      step: "ready",
      reason: `its runtime was not ready within ${Duration.format(within)}`,
      remedy: `see "km doctor" and "km logs"; is "km up" running?`
    })
  })

  const steps = Effect.fnUntraced(function*(request: CreateRequest, begun: SandboxRow, progress: CreateProgress) {
    const { id } = request
    let row = yield* item(begun, "secret", signingKeyPath(id), makeKey(id))
    yield* progress("key", "")
    row = yield* item(row, "identity", id, certifyKey(row))
    row = yield* makeMail(request, row)
    yield* progress("identity", "")
    row = yield* makeGithub(row)
    if (row.github !== undefined) yield* progress("github", row.github.map(({ account }) => account).join(", "))
    if (takesTurns(row.profile)) {
      row = yield* item(row, "queue", id, Effect.as(queue.create(id), {}))
      yield* progress("queue", "")
    }
    row = yield* makeChannel(row)
    if (row.channel !== undefined) yield* progress("channel", row.channelName ?? row.channel)
    // Named before the row asks for them: a host acts on the row alone.
    row = yield* item(row, "directory", id, Effect.succeed({}))
    row = yield* item(row, "runtime", id, Effect.succeed({}))
    if (!(yield* sandboxes.update(id, { desired: "running", status: "starting" }, aliveAs(row)))) {
      return yield* new Overtaken()
    }
    yield* host.start(id)
    yield* progress("start", "")
    yield* awaitReady(row, request.readyWithin)
    if (!(yield* sandboxes.update(id, { status: "running" }, aliveAs(row)))) return yield* new Overtaken()
    yield* progress("ready", "")
    const now = yield* sandboxes.get(id)
    return Option.getOrElse(now, (): SandboxRow => ({ ...row, status: "running" }))
  })

  /** Undoing is teardown; what cannot be undone now stays listed and is said. */
  const undo = Effect.fnUntraced(function*(id: SandboxId, cause: SandboxRefused) {
    return yield* teardown.run(id, "create-failed").pipe(
      Effect.mapError((error) =>
        new SandboxRefused({
          code: "KM-CLI-105",
          sandbox: id,
          step: cause.step,
          reason: `${cause.reason}; undoing it stopped too: ${error.reason}`,
          remedy: `run "km destroy ${id} --yes"; it continues where it stopped`
        })
      ),
      Effect.andThen(Effect.fail(cause))
    )
  })

  /**
   * A destroy came between. It removed what it found named; what was made or named since is removed here, unless another
   * life of the id has it by now.
   */
  const undoOwn = Effect.fnUntraced(function*(begun: SandboxRow) {
    const row = making.get(begun.generation) ?? begun
    const now = yield* sandboxes.get(row.id)
    if (Option.isNone(now) || now.value.generation === row.generation) {
      yield* teardown.removeItems(row).pipe(
        Effect.mapError((error) =>
          new SandboxRefused({
            code: "KM-CLI-105",
            sandbox: row.id,
            step: "row",
            reason: `it was destroyed while it was being made; undoing it stopped: ${error.reason}`,
            remedy: `run "km destroy ${row.id} --yes" again, or look at "km doctor"`
          })
        )
      )
    }
    return yield* conflict(
      row.id,
      "it was destroyed while it was being made",
      "run the same command again for a new one"
    )
  })

  const create = Effect.fn("Provisioning.create")(
    function*(request: CreateRequest, progress: CreateProgress = () => Effect.void) {
      const row = yield* beginRow(request)
      yield* progress("row", row.alias ?? "")
      // Made long ago: whatever is wrong with it now is no reason to undo it.
      if (row.status === "running") return row
      return yield* steps(request, row, progress).pipe(
        Effect.catchTags({
          StoreError: (error) => Effect.fail(failed(request.id, "start", error.message)),
          HostFailed: (error) => Effect.fail(failed(request.id, "start", error.message))
        }),
        Effect.catchTags({
          // What a destroy took away under a step is no fault of the step.
          SandboxRefused: (error) =>
            Effect.flatMap(isAlive(row), (alive) => alive ? undo(request.id, error) : undoOwn(row)),
          Overtaken: () => undoOwn(row)
        }),
        Effect.ensuring(Effect.sync(() => making.delete(row.generation)))
      )
    },
    (effect, request) =>
      effect.pipe(
        Effect.catchTags({
          StoreError: (error) => Effect.fail(failed(request.id, "row", error.message)),
          SandboxConflict: (error) =>
            Effect.fail(
              new SandboxRefused({
                code: "KM-CLI-101",
                sandbox: request.id,
                step: "row",
                reason: `the ${error.what} ${error.value} is taken by another sandbox`,
                remedy: "choose another one, or destroy that sandbox"
              })
            )
        }),
        Effect.annotateLogs({ sandbox: request.id })
      )
  )

  const renewCertificate = Effect.fn("Provisioning.renewCertificate")(
    function*(row: SandboxRow) {
      const certifier = yield* certifierOf(row.id)
      const ports = { identities, secrets }
      const owner = { install: row.install, subject: row.id }
      const now = yield* Clock.currentTimeMillis
      const ends = yield* Effect.forEach(rotatable, (what) => certifiedUntil(ports, certifier, owner, what))
      if (ends.every((end) => end === undefined || end - now / 1_000 > renewBeforeSeconds)) return false
      yield* Effect.forEach(rotatable, (what) => renewKey(ports, certifier, owner, what), { discard: true })
      return true
    },
    (effect, row) =>
      effect.pipe(
        Effect.catchTags({
          StoreError: (error) => Effect.fail(failed(row.id, "identity", error.message)),
          IdentityRefused: (error) => Effect.fail(failed(row.id, "identity", error.reason, error.remedy))
        })
      )
  )

  return Provisioning.of({ create, renewCertificate })
})
