/**
 * Everything that create and teardown touch, in memory and outliving the programs that act on it, with a switch that
 * crashes a program before or after its n-th call of a port.
 */
import { Effect, Layer, Option, Redacted, Schema, Stream } from "effect"
import { CertifiedKey, KeyPurpose, type SignedRevocation } from "../../runtime/domain/identity/Certificate.ts"
import { generateSeed } from "../../runtime/domain/identity/Ed25519.ts"
import type { Alias, SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import { ChannelId, KeyId, MessageTs, SenderId } from "../../runtime/domain/sandbox/Ids.ts"
import { noticePrefix } from "../../runtime/domain/sandbox/Notice.ts"
import { isEnding, isSameItem, type SandboxRow } from "../../runtime/domain/sandbox/Sandbox.ts"
import type { BridgeAction, BridgeResult, HeardState } from "../../runtime/domain/slack/BridgeProtocol.ts"
import type { LetterRefused } from "../../runtime/kernel/mail/MailActions.ts"
import { type NoticeLetter, NoticeMail } from "../../runtime/kernel/mail/NoticeMail.ts"
import { Audit } from "../../runtime/ports/Audit.ts"
import type { BridgeCall } from "../../runtime/ports/Bridge.ts"
import { Bridge, BridgeRefused } from "../../runtime/ports/Bridge.ts"
import { Controls } from "../../runtime/ports/Controls.ts"
import { makeDirectory } from "../../runtime/ports/Directory.ts"
import { Facts } from "../../runtime/ports/Facts.ts"
import { GithubApps } from "../../runtime/ports/GithubApps.ts"
import { Identities } from "../../runtime/ports/Identities.ts"
import { Leases } from "../../runtime/ports/Leases.ts"
import { Mailbox, Mailer, MailOutbox, type WaitingMail } from "../../runtime/ports/Mail.ts"
import * as MemoryAudit from "../../runtime/ports/memory/MemoryAudit.ts"
import { makeMemoryAuditState } from "../../runtime/ports/memory/MemoryAudit.ts"
import * as MemoryControls from "../../runtime/ports/memory/MemoryControls.ts"
import { makeMemoryControlsState } from "../../runtime/ports/memory/MemoryControls.ts"
import { makeMemoryFactsState } from "../../runtime/ports/memory/MemoryFacts.ts"
import * as MemoryFacts from "../../runtime/ports/memory/MemoryFacts.ts"
import * as MemoryInstallStore from "../../runtime/ports/memory/MemoryInstallStore.ts"
import { makeMemoryInstallState } from "../../runtime/ports/memory/MemoryInstallStore.ts"
import * as MemoryLeases from "../../runtime/ports/memory/MemoryLeases.ts"
import { makeMemoryLeasesState } from "../../runtime/ports/memory/MemoryLeases.ts"
import * as MemoryReports from "../../runtime/ports/memory/MemoryReports.ts"
import { makeMemoryReportsState } from "../../runtime/ports/memory/MemoryReports.ts"
import * as MemoryScheduler from "../../runtime/ports/memory/MemoryScheduler.ts"
import { makeMemorySchedulerState } from "../../runtime/ports/memory/MemoryScheduler.ts"
import * as MemoryThreads from "../../runtime/ports/memory/MemoryThreads.ts"
import { makeMemoryThreadsState } from "../../runtime/ports/memory/MemoryThreads.ts"
import * as MemoryTurnQueue from "../../runtime/ports/memory/MemoryTurnQueue.ts"
import { makeMemoryTurnQueueState } from "../../runtime/ports/memory/MemoryTurnQueue.ts"
import * as MemoryTurnRecords from "../../runtime/ports/memory/MemoryTurnRecords.ts"
import { makeMemoryTurnRecordsState } from "../../runtime/ports/memory/MemoryTurnRecords.ts"
import { Objects } from "../../runtime/ports/Objects.ts"
import {
  changedAttributes,
  holds,
  type RowCondition,
  SandboxConflict,
  Sandboxes,
  withItem
} from "../../runtime/ports/Sandboxes.ts"
import { HostFailed, SandboxHost } from "../../runtime/ports/SandboxHost.ts"
import { Scheduler } from "../../runtime/ports/Scheduler.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import { StoreError } from "../../runtime/ports/StoreError.ts"
import { Threads } from "../../runtime/ports/Threads.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import { TurnRecords } from "../../runtime/ports/TurnRecords.ts"

/** An install without GitHub. */
const noGithub = Effect.runSync(Effect.provide(GithubApps, GithubApps.layerNone))

/** What a crash looks like from inside: a defect that no typed handler catches. */
export class Crash extends Error {}

const decodeDirectoryKey = Schema.decodeUnknownSync(
  Schema.Struct({ subject: SenderId, purpose: KeyPurpose, keyId: KeyId, key: CertifiedKey })
)

export interface Post {
  readonly key: string
  readonly action: BridgeAction
}

/** A bridge that keeps its promise: the same key is one effect and one answer. */
const bridgeOf = (world: World) =>
  Effect.fnUntraced(function*({ action, key }: BridgeCall) {
    if (world.bridgeDown) {
      return yield* new BridgeRefused({ action: action.action, code: "unavailable", detail: "down" })
    }
    const recorded = world.answers.get(key)
    if (recorded !== undefined) return recorded
    if (world.marksHang && action.action === "react") return yield* Effect.never
    const archived = "channel" in action && action.channel !== undefined && world.archived.has(action.channel)
    if (archived) return yield* new BridgeRefused({ action: action.action, code: "is_archived", detail: "archived" })
    world.effects.push({ key, action })
    const result = answer(world, action)
    world.answers.set(key, result)
    return result
  })

const answer = (world: World, action: BridgeAction): BridgeResult => {
  if (action.action === "channel.ensure") {
    if (action.previous !== undefined && !world.archived.has(action.previous)) {
      return { ok: true, channel: { id: action.previous, name: action.name, created: false, warnings: [] } }
    }
    const id = ChannelId.make(`C${1000 + world.channels.size}`)
    world.channels.set(id, action.name)
    return { ok: true, channel: { id, name: action.name, created: true, warnings: [] } }
  }
  if (action.action === "state") return { ok: true, ...(world.heard === undefined ? {} : { heard: world.heard }) }
  if (action.action === "archive") world.archived.add(action.channel)
  // A message of its own each time.
  const ts = MessageTs.make(
    `1700000000.${String(world.effects.filter((effect) => effect.action.action === "post").length).padStart(6, "0")}`
  )
  return action.action === "post" ? { ok: true, parts: [{ ts }] } : { ok: true }
}

/** The whole state; `snapshot` is what must be the same before a create and after its destroy. */
const brokenAudit = new StoreError({
  port: "Audit",
  operation: "record",
  reason: "Full",
  detail: "the test's disk",
  cause: undefined
})

export class World {
  readonly rows = new Map<SandboxId, SandboxRow>()
  readonly aliasChannels = new Map<Alias, ChannelId>()
  readonly secrets = new Map<string, string>()
  readonly identities = new Map<string, Map<string, CertifiedKey>>()
  readonly retired = new Set<string>()
  readonly revocations: Array<SignedRevocation> = []
  readonly objects = new Map<SandboxId, Set<string>>()
  /** Owners whose mailbox holds something. */
  readonly mail = new Set<string>()
  readonly directories = new Set<SandboxId>()
  readonly runtimes = new Set<SandboxId>()
  readonly queue = makeMemoryTurnQueueState({ rows: this.rows })
  readonly threads = makeMemoryThreadsState()
  readonly leases = makeMemoryLeasesState()
  readonly controls = makeMemoryControlsState()
  readonly schedules = makeMemorySchedulerState()
  readonly reports = makeMemoryReportsState()
  readonly records = makeMemoryTurnRecordsState()
  readonly audit = makeMemoryAuditState()
  readonly installStore = makeMemoryInstallState()
  readonly channels = new Map<string, string>()
  readonly archived = new Set<string>()
  readonly answers = new Map<string, BridgeResult>()
  readonly effects: Array<Post> = []
  /** Replaced by tests that have one. */
  github = noGithub
  /** What the bridge says of Slack's requests. */
  heard: HeardState | undefined
  bridgeDown = false
  /** Slack takes no reaction for now, and says nothing. */
  marksHang = false
  auditBroken = false
  hostBroken = false
  neverReady = false

  calls = 0
  crashAt = 0
  crashPhase: "before" | "after" = "before"

  constructor() {
    this.secrets.set("certifier/signing-key", Buffer.from(generateSeed()).toString("base64"))
  }

  /** Everything but what Slack keeps and the tombstones of keys. */
  snapshot() {
    return {
      rows: [...this.rows.keys()],
      secrets: [...this.secrets.keys()].toSorted(),
      identities: [...this.identities.keys()].filter((id) => !this.retired.has(id)),
      objects: [...this.objects.keys()],
      mail: [...this.mail],
      directories: [...this.directories],
      runtimes: [...this.runtimes],
      queues: [...this.queue.queues.keys()],
      threads: [...this.threads.rows.keys()],
      leases: [...this.leases.leases.keys()],
      controls: [...this.controls.requests.keys()],
      records: [...this.records.records.keys()],
      reports: [...this.reports.reports.keys()],
      facts: [...this.facts.facts.values()].filter(({ key }) => !key.startsWith(noticePrefix)),
      openChannels: [...this.channels.keys()].filter((id) => !this.archived.has(id))
    }
  }

  /** Counts calls from here on and crashes at the n-th; 0 never crashes. */
  crashing(at: number, phase: "before" | "after") {
    this.calls = 0
    this.crashAt = at
    this.crashPhase = phase
  }

  private interruption: { readonly at: number; readonly by: Effect.Effect<void> } | undefined

  /** Another program runs to its end right before the n-th call from here on. */
  interrupting(at: number, by: Effect.Effect<void>) {
    this.crashing(0, "before")
    this.interruption = { at, by }
  }

  private step<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.suspend(() => {
      this.calls += 1
      const { at, by } = this.interruption ?? { at: 0, by: Effect.void }
      if (this.calls === at) {
        this.interruption = undefined
        return Effect.andThen(by, effect)
      }
      if (this.calls !== this.crashAt) return effect
      return this.crashPhase === "before"
        ? Effect.die(new Crash())
        : Effect.andThen(effect, Effect.die(new Crash()))
    })
  }

  /** Every method of a service passes the switch. */
  private guard<S extends object>(service: S): S {
    return new Proxy(service, {
      get: (target, property, receiver) => {
        const value: unknown = Reflect.get(target, property, receiver)
        if (Effect.isEffect(value)) return this.step(value)
        if (typeof value !== "function") return value
        return (...args: ReadonlyArray<unknown>): unknown => {
          const result: unknown = Reflect.apply(value, target, args)
          return Effect.isEffect(result) ? this.step(result) : result
        }
      }
    })
  }

  private change(id: SandboxId, whileRow: RowCondition, to: (row: SandboxRow) => SandboxRow) {
    return Effect.sync(() => {
      const row = this.rows.get(id)
      if (row === undefined || !holds(row, whileRow)) return false
      this.rows.set(id, to(row))
      this.react(id)
      return true
    })
  }

  private readonly sandboxes = Sandboxes.of({
    insert: (row) =>
      Effect.suspend(() => {
        if (this.rows.has(row.id)) return Effect.fail(new SandboxConflict({ what: "id", value: row.id }))
        const taken = [...this.rows.values()].find((other) => row.alias !== undefined && other.alias === row.alias)
        if (taken !== undefined) return Effect.fail(new SandboxConflict({ what: "alias", value: row.alias ?? "" }))
        this.rows.set(row.id, row)
        return Effect.void
      }),
    get: (id) => Effect.sync(() => Option.fromNullishOr(this.rows.get(id))),
    update: (id, changes, whileRow = {}) => this.change(id, whileRow, (row) => changedAttributes(row, changes).row),
    addItem: (id, item, whileRow = {}, changes = {}) =>
      this.change(id, whileRow, (row) => ({
        ...changedAttributes(row, changes).row,
        inventory: withItem(row.inventory, item)
      })),
    removeItem: (id, item) =>
      Effect.asVoid(this.change(id, {}, (row) => ({
        ...row,
        inventory: row.inventory.filter((other) => !isSameItem(other, item))
      }))),
    remove: (id) => Effect.sync(() => void this.rows.delete(id)),
    byChannel: (channel) => Effect.sync(() => [...this.rows.values()].filter((row) => row.channel === channel)),
    byChannelLately: (channel) => Effect.sync(() => [...this.rows.values()].filter((row) => row.channel === channel)),
    named: (text) =>
      Effect.sync(() =>
        Option.fromNullishOr(
          [...this.rows.values()].find((row) => row.id === text) ??
            [...this.rows.values()].find((row) => row.alias === text)
        )
      ),
    youngerThan: (since) => Effect.sync(() => [...this.rows.values()].filter(({ createdAt }) => createdAt >= since)),
    list: Effect.sync(() => [...this.rows.values()]),
    watch: () => Stream.never,
    lagMillis: 0,
    changes: Stream.never,
    channelOfAlias: (alias) => Effect.sync(() => Option.fromNullishOr(this.aliasChannels.get(alias))),
    rememberChannel: (alias, channel) => Effect.sync(() => void this.aliasChannels.set(alias, channel))
  })

  private wish(id: SandboxId, desired: SandboxRow["desired"]) {
    const row = this.rows.get(id)
    if (row !== undefined) this.rows.set(id, { ...row, desired })
  }

  /** As the real one: asks by the row, and the runtime comes and goes as the row says. */
  private readonly host = SandboxHost.of({
    start: (id) =>
      Effect.suspend(() => {
        const row = this.rows.get(id)
        if (this.hostBroken || row === undefined || isEnding(row)) {
          return Effect.fail(new HostFailed({ sandbox: id, operation: "start", detail: "broken" }))
        }
        this.directories.add(id)
        this.wish(id, "running")
        this.react(id)
        return Effect.void
      }),
    stop: (id) =>
      Effect.sync(() => {
        this.runtimes.delete(id)
        this.wish(id, "stopped")
      }),
    destroy: (id) =>
      Effect.sync(() => {
        this.runtimes.delete(id)
        this.directories.delete(id)
      }),
    ready: (id) => Effect.sync(() => this.runtimes.has(id) && !this.neverReady)
  })

  /** What a runtime that watches the rows does about this one. */
  private react(id: SandboxId) {
    const row = this.rows.get(id)
    if (row?.desired !== "running" || isEnding(row)) return
    this.directories.add(id)
    this.runtimes.add(id)
  }

  private readonly secretStore = Secrets.of({
    get: (path) => Effect.sync(() => Option.map(Option.fromNullishOr(this.secrets.get(path)), (v) => Redacted.make(v))),
    put: (path, value) =>
      Effect.sync(() => {
        this.secrets.set(path, Redacted.value(value))
        return 1
      }),
    delete: (path) => Effect.sync(() => void this.secrets.delete(path)),
    deleteUnder: (path) =>
      Effect.sync(() => {
        for (const name of this.secrets.keys()) {
          if (name === path || name.startsWith(`${path}/`)) this.secrets.delete(name)
        }
      }),
    under: (path) =>
      Effect.sync(() =>
        [...this.secrets].toSorted().flatMap(([name, value]) =>
          name === path || name.startsWith(`${path}/`) ? [{ path: name, value: Redacted.make(value) }] : []
        )
      )
  })

  private directory() {
    return makeDirectory(0, {
      keys: [...this.identities].flatMap(([subject, keys]) =>
        [...keys].map(([name, key]) => {
          const [purpose, keyId] = name.split(" ")
          return decodeDirectoryKey({ subject, purpose, keyId, key })
        })
      ),
      revocations: [...this.revocations]
    })
  }

  private readonly identityStore = Identities.of({
    put: (subject, purpose, keyId, key) =>
      Effect.sync(() => {
        const keys = this.identities.get(subject) ?? new Map<string, CertifiedKey>()
        this.identities.set(subject, keys.set(`${purpose} ${keyId}`, key))
      }),
    directory: Effect.sync(() => this.directory()),
    directoryNow: Effect.sync(() => this.directory()),
    revoke: (_number, revocation) => Effect.sync(() => void this.revocations.push(revocation)),
    retire: (subject) => Effect.sync(() => void this.retired.add(subject))
  })

  private readonly objectStore = Objects.of({
    put: () => Effect.die("unused"),
    get: (_, name) => Stream.make(this.contents.get(name) ?? new Uint8Array(0)),
    link: () => Effect.die("unused"),
    list: (owner) => Effect.sync(() => [...this.objects.get(owner) ?? []]),
    delete: () => Effect.die("unused"),
    deleteAll: (owner) => Effect.sync(() => void this.objects.delete(owner))
  })

  /** What objects hold, by name. */
  readonly contents = new Map<string, Uint8Array>()
  /** Beside the rows; notices outlive theirs. */
  readonly facts = makeMemoryFactsState()
  /** Mail to the operator by its key: twice under one key is once. */
  readonly letters = new Map<string, NoticeLetter>()
  /** Why no mail goes out. */
  mailDown: LetterRefused | undefined

  /** What waits for a relay. */
  spooled: WaitingMail = { count: 0, since: undefined }
  /** What waits for a courier. */
  undelivered: WaitingMail = { count: 0, since: undefined }

  private readonly mailbox = Mailbox.of({
    lease: () => Effect.die("unused"),
    release: () => Effect.die("unused"),
    file: () => Effect.die("unused"),
    reopen: () => Effect.die("unused"),
    list: () => Effect.die("unused"),
    get: () => Effect.die("unused"),
    raw: () => Effect.die("unused"),
    markRead: () => Effect.void,
    recordSeen: () => Effect.die("unused"),
    note: () => Effect.die("unused"),
    noted: () => Effect.die("unused"),
    content: () => Effect.die("unused"),
    revision: (_, other) => other === undefined ? Effect.succeed(0) : Effect.as(Effect.sleep(other.wait), other.than),
    removeAll: (owner) => Effect.sync(() => void this.mail.delete(owner))
  })

  /** Build it anew for each program, as a restarted process would. */
  layer() {
    const memory = Layer.mergeAll(
      MemoryTurnQueue.layerOver(this.queue),
      MemoryThreads.layerOver(this.threads),
      MemoryLeases.layerOver(this.leases),
      MemoryControls.layerOver(this.controls),
      MemoryScheduler.layerOver(this.schedules),
      MemoryTurnRecords.layerOver(this.records)
    )
    const wrapped = Layer.mergeAll(
      Layer.effect(TurnQueue, Effect.map(TurnQueue, (service) => this.guard(service))),
      Layer.effect(Threads, Effect.map(Threads, (service) => this.guard(service))),
      Layer.effect(Leases, Effect.map(Leases, (service) => this.guard(service))),
      Layer.effect(Controls, Effect.map(Controls, (service) => this.guard(service))),
      Layer.effect(Scheduler, Effect.map(Scheduler, (service) => this.guard(service))),
      Layer.effect(TurnRecords, Effect.map(TurnRecords, (service) => this.guard(service)))
    ).pipe(Layer.provide(memory))
    return Layer.mergeAll(
      wrapped,
      MemoryReports.layerOver(this.reports),
      Layer.effect(Facts, Effect.map(Facts, (service) => this.guard(service))).pipe(
        Layer.provide(MemoryFacts.layerOver(this.facts))
      ),
      Layer.succeed(
        NoticeMail,
        this.guard(NoticeMail.of({
          send: (letter) =>
            Effect.suspend(() =>
              this.mailDown === undefined
                ? Effect.sync(() => void this.letters.set(letter.key, letter))
                : Effect.fail(this.mailDown)
            )
        }))
      ),
      Layer.effect(
        Audit,
        Effect.map(Audit, (audit) =>
          Audit.of({
            ...audit,
            record: (entry) => this.auditBroken ? Effect.fail(brokenAudit) : audit.record(entry)
          }))
      ).pipe(Layer.provide(MemoryAudit.layerOver(this.audit, "operator"))),
      MemoryInstallStore.layerOver(this.installStore),
      Layer.suspend(() => Layer.succeed(GithubApps, this.guard(this.github))),
      Layer.succeed(Sandboxes, this.guard(this.sandboxes)),
      Layer.succeed(SandboxHost, this.guard(this.host)),
      Layer.succeed(Secrets, this.guard(this.secretStore)),
      Layer.succeed(Identities, this.guard(this.identityStore)),
      Layer.succeed(Mailbox, this.guard(this.mailbox)),
      Layer.succeed(
        MailOutbox,
        MailOutbox.of({
          lease: () => Effect.succeed([]),
          deliver: () => Effect.die("unused"),
          defer: () => Effect.die("unused"),
          waiting: Effect.sync(() => ({ inside: this.undelivered, outside: this.spooled }))
        })
      ),
      Layer.succeed(
        Mailer,
        Mailer.of({
          limits: { maxMessageBytes: 100_663_296 },
          send: ({ to }) => Effect.sync(() => to.forEach((owner) => this.mail.add(owner))),
          sendAll: (mails) => Effect.sync(() => mails.forEach(({ to }) => to.forEach((owner) => this.mail.add(owner))))
        })
      ),
      Layer.succeed(Objects, this.guard(this.objectStore)),
      Layer.succeed(Bridge, this.guard(Bridge.of({ call: bridgeOf(this) })))
    )
  }
}
