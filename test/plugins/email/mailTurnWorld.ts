/**
 * One sandbox that mail gives work to, on the real store, with the real pipeline and plugin; only its agent and its
 * bridge are played. Its process can be killed before or after any call that it makes to the world outside.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Context, Deferred, Duration, Effect, Layer, Logger, Option, Redacted, Stream } from "effect"
import { spawn } from "node:child_process"
import * as path from "node:path"
import process from "node:process"
import { DatabaseSync } from "node:sqlite"
import { EmailPlugin } from "../../../plugins/email/EmailPlugin.ts"
import { type MailAccount, makeMailAccount } from "../../../plugins/email/MailAccount.ts"
import { call } from "../../../plugins/email/socketClient.ts"
import * as SandboxStore from "../../../runtime/adapters/disk/SandboxStore.ts"
import { statePaths } from "../../../runtime/adapters/disk/StateDirectory.ts"
import { signingKeyFromSeed } from "../../../runtime/domain/identity/Ed25519.ts"
import type { Install } from "../../../runtime/domain/install/Install.ts"
import type { Profile } from "../../../runtime/domain/profile/Profile.ts"
import { type Alias, ChannelId, InstallName, SandboxId } from "../../../runtime/domain/sandbox/Ids.ts"
import { AgentOutcome, type TurnRow } from "../../../runtime/domain/turn/Turn.ts"
import * as EmbeddedEngine from "../../../runtime/engines/embedded/EmbeddedEngine.ts"
import * as FileSecrets from "../../../runtime/engines/embedded/FileSecrets.ts"
import { certifyMail, ensureSecret, mailSecrets } from "../../../runtime/kernel/identity/MailIdentities.ts"
import { PluginHost } from "../../../runtime/kernel/plugins/PluginHost.ts"
import { TurnPipeline } from "../../../runtime/kernel/turns/TurnPipeline.ts"
import { Agent, type AgentRun } from "../../../runtime/ports/Agent.ts"
import { AgentPrograms } from "../../../runtime/ports/AgentPrograms.ts"
import { Bridge } from "../../../runtime/ports/Bridge.ts"
import { Controls } from "../../../runtime/ports/Controls.ts"
import { Identities } from "../../../runtime/ports/Identities.ts"
import { Ledger } from "../../../runtime/ports/Ledger.ts"
import { Mailbox, Mailer } from "../../../runtime/ports/Mail.ts"
import { Redaction } from "../../../runtime/ports/Redaction.ts"
import { Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { SandboxInfo } from "../../../runtime/ports/SandboxInfo.ts"
import { Secrets } from "../../../runtime/ports/Secrets.ts"
import { ThisInstall } from "../../../runtime/ports/ThisInstall.ts"
import { TurnQueue } from "../../../runtime/ports/TurnQueue.ts"
import { sandboxRow } from "../../runtime/ports/sandboxesContract.ts"
import { bundled } from "../../support/bundled.ts"
import { delivered } from "../../support/deliveredMail.ts"
import { profileWith } from "../../support/profiles.ts"
import { recordingBridge } from "../../support/RecordingBridge.ts"
import { temporaryDirectory } from "../../support/temporaryDirectory.ts"

const kmSendScript = bundled("km-send.cjs")

const install = InstallName.make("km")
const certifier = signingKeyFromSeed(Uint8Array.from({ length: 32 }, () => 7))
export const ada = SandboxId.make("sb-aaaa1111")
export const bob = SandboxId.make("sb-bbbb2222")
export const carol = SandboxId.make("sb-cccc3333")
/** Everything but what the mail of a sandbox asks for is never looked at. */
const installOf = (certifierPublicKey: Uint8Array): Install => ({
  version: 1,
  install,
  certifierPublicKey: Buffer.from(certifierPublicKey).toString("base64"),
  bridgeUrl: "http://127.0.0.1",
  bridgeHost: "127.0.0.1",
  slackApiUrl: "http://127.0.0.1/api/",
  local: true
})
const everyone = [ada, bob, carol]
const addressOf = (id: SandboxId) => `${id}@km.invalid`

/** Where a process ends: at its `call`-th call to the world outside, before it is made or after it was. */
export interface Death {
  readonly call: number
  readonly when: "before" | "after"
}

/** A process of the sandbox. Dead, nothing of it reaches the world. */
interface Life {
  dead: boolean
  calls: Array<string>
  readonly death: Death | undefined
  readonly died: Deferred.Deferred<void>
}

/** Every method of a port that acts goes through it; `names` are those that do. */
const gated = <S extends object>(life: Life, port: string, service: S, names: ReadonlyArray<keyof S & string>): S => {
  const die = Effect.suspend(() => {
    life.dead = true
    return Effect.andThen(Deferred.succeed(life.died, undefined), Effect.die("the process was killed"))
  })
  const through = <A, E, R>(name: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.suspend(() => {
      if (life.dead) return Effect.die("the process was killed")
      const { death } = life
      const here = death !== undefined && life.calls.length === death.call
      life.calls.push(`${port}.${name}`)
      if (here && death.when === "before") return die
      return Effect.flatMap(
        Effect.exit(effect),
        (exit) => here ? die : life.dead ? Effect.die("the process was killed") : exit
      )
    })
  return new Proxy(service, {
    get: (target, name: keyof S & string) => {
      const value: unknown = target[name]
      if (typeof value !== "function" || !names.includes(name)) return value
      return (...args: ReadonlyArray<unknown>) => through(name, value.apply(target, args))
    }
  })
}

/** What the agent was asked, and how it answers. Its runs outlive the process that watches them. */
export interface PlayedAgent {
  readonly runs: Array<AgentRun>
  answer: (run: AgentRun) => Effect.Effect<AgentOutcome>
  /** Its conversations are gone. */
  forgetful: boolean
}

const agentLayer = (played: PlayedAgent, results: Map<string, AgentOutcome>) =>
  Layer.succeed(Agent)(Agent.of({
    start: (run) =>
      Effect.gen(function*() {
        played.runs.push(run)
        const stopped = Deferred.makeUnsafe<AgentOutcome>()
        const outcome = yield* Effect.cached(
          Effect.tap(
            Effect.raceFirst(played.answer(run), Deferred.await(stopped)),
            (end) => Effect.sync(() => void results.set(run.runDir, end))
          )
        )
        yield* Effect.forkScoped(outcome)
        return {
          mark: { pid: played.runs.length, startTime: "", bootId: "" },
          events: Stream.empty,
          outcome,
          interrupt: (by) => Effect.asVoid(Deferred.succeed(stopped, AgentOutcome.cases.Cancelled.make({ by }))),
          timeOut: () => Effect.void
        }
      }),
    recover: ({ runDir }) => Effect.sync(() => Option.fromNullishOr(results.get(runDir))),
    sessionExists: (session) =>
      Effect.sync(() => !played.forgetful && played.runs.some((run) => run.session === session)),
    messageReceived: ({ runDir }) => Effect.sync(() => played.runs.some((run) => run.runDir === runDir)),
    confinement: Effect.succeed({ confined: true, detail: "a test" })
  }))

export const turnProfile = (email: object = {}): Profile =>
  profileWith({ notifySlackEnabled: true }, { email: { onReceive: "turn", allowedSenders: ["install"], ...email } })

/** Bob takes work by mail; the others write to him. */
export const mailTurnWorld = Effect.fnUntraced(function*(profile: Profile = turnProfile()) {
  const state = yield* temporaryDirectory
  const paths = statePaths(state)
  const store = yield* Layer.build(Layer.mergeAll(
    delivered(EmbeddedEngine.layer(state)),
    FileSecrets.layer(paths.secrets),
    SandboxStore.layer(paths.sandbox(bob).directory),
    Layer.succeed(ThisInstall)(installOf(certifier.publicKey)),
    Layer.succeed(AgentPrograms)(AgentPrograms.of({
      // The socket lies there; the programs are started by the test.
      place: () => Effect.succeed({ directory: state, contribution: { path: [state], readOnly: [] } })
    }))
  ))
  const sandboxes = Context.get(store, Sandboxes)
  const secrets = Context.get(store, Secrets)
  const identities = Context.get(store, Identities)
  for (const id of everyone) {
    const own = id === bob ? profile : profileWith()
    yield* sandboxes.insert(sandboxRow(id, { profile: own, mailAddresses: [addressOf(id)], status: "running" }))
    for (const [secret, make] of mailSecrets(id, true)) yield* ensureSecret(secrets, secret, make)
    yield* certifyMail({ identities, secrets }, certifier, {
      install,
      subject: id,
      addresses: id === ada ? [addressOf(id), "build@km.invalid"] : [addressOf(id)],
      madeAt: Date.now()
    })
  }
  const queue = Context.get(store, TurnQueue)
  yield* queue.create(bob)
  const bridge = recordingBridge()
  const agent: PlayedAgent = {
    runs: [],
    forgetful: false,
    answer: () => Effect.succeed(AgentOutcome.cases.Answered.make({ text: "the tests pass" }))
  }
  const results = new Map<string, AgentOutcome>()
  const accounts = new Map<SandboxId, MailAccount>()
  for (const id of everyone) {
    const account = makeMailAccount({
      owner: id,
      install,
      certifierPublicKey: certifier.publicKey,
      domain: "km.invalid",
      name: "",
      policy: profileWith().spec.email
    })
    accounts.set(id, yield* Effect.provide(account, store))
  }
  const accountOf = (id: SandboxId): MailAccount => {
    const account = accounts.get(id)
    if (account === undefined) throw new Error(`no account of ${id}`)
    return account
  }
  const mailbox = Context.get(store, Mailbox)
  const ledger = Context.get(store, Ledger)

  /** Runs the sandbox's process until `until` says so, or until it dies; the calls that it made. */
  const live = Effect.fnUntraced(function*<E>(
    until: Effect.Effect<boolean, E>,
    death?: Death
  ) {
    const life: Life = { dead: false, calls: [], death, died: Deferred.makeUnsafe() }
    const outside = Layer.mergeAll(
      Layer.succeed(
        Mailbox,
        gated(life, "Mailbox", mailbox, ["release", "lease", "file", "markRead", "recordSeen", "note", "noted", "get"])
      ),
      Layer.succeed(Mailer, gated(life, "Mailer", Context.get(store, Mailer), ["send", "sendAll"])),
      Layer.succeed(Ledger, gated(life, "Ledger", ledger, ["insert", "update", "remember"])),
      Layer.effect(Bridge, Effect.map(Bridge, (real) => gated(life, "Bridge", real, ["call"]))).pipe(
        Layer.provide(bridge.layer)
      ),
      agentLayer(agent, results),
      Layer.succeed(SandboxInfo)(SandboxInfo.of({
        id: bob,
        install,
        profile,
        channel: ChannelId.make("C123"),
        label: bob,
        directories: {
          state: paths.sandbox(bob).directory,
          home: state,
          workspace: state,
          runs: path.join(state, "runs")
        }
      })),
      Redaction.layer,
      NodeFileSystem.layer
    )
    const runtime = PluginHost.layer([EmailPlugin], Effect.succeed(Duration.zero)).pipe(
      Layer.provideMerge(TurnPipeline.layer),
      Layer.provideMerge(outside),
      Layer.provideMerge(Layer.succeedContext(Context.omit(Mailbox, Mailer, Ledger)(store)))
    )
    const look = Effect.gen(function*() {
      while (!life.dead && !(yield* until)) yield* Effect.sleep(5)
    })
    yield* Effect.scoped(Effect.gen(function*() {
      const context = yield* Layer.buildWithMemoMap(runtime, yield* Layer.makeMemoMap, yield* Effect.scope)
      const redaction = Context.get(context, Redaction)
      yield* redaction.add(Redacted.make("hunter2-hunter2"))
      yield* Effect.raceFirst(look, Deferred.await(life.died))
    })).pipe(Effect.provide(Logger.layer([])))
    return life.calls
  })

  /** Everything that a sandbox other than Bob has been sent, judged. */
  const inboxOf = Effect.fnUntraced(function*(id: SandboxId) {
    for (;;) {
      const leased = yield* mailbox.lease(id, Duration.minutes(1))
      if (Option.isNone(leased)) break
      yield* accountOf(id).judge(leased.value)
    }
    const rows = yield* accountOf(id).list("inbox", { limit: 500 })
    return (yield* accountOf(id).opened(rows.map(({ row }) => row))).map(({ judged, row }) => ({
      ...judged,
      delivery: row.id
    }))
  })

  const turns = ledger.recent(100)
  const judgedAll = Effect.sync(() => {
    const database = new DatabaseSync(paths.database, { readOnly: true })
    const arrived = database.prepare("SELECT COUNT(*) AS n FROM mail WHERE owner = ? AND state = 'arrived'").get(bob)
    database.close()
    return arrived?.["n"] === 0
  })
  /** Nothing of Bob's waits, no turn is owed, and every turn is over. */
  const quiet = Effect.gen(function*() {
    const judged = yield* judgedAll
    const owed = Option.getOrElse(yield* ledger.recall("mail-turn-owed"), () => "")
    const rows: ReadonlyArray<TurnRow> = yield* turns
    return judged && owed === "" && rows.every(({ state: at }) => at === "settled")
  })

  const letter = (subject: string, body: string, more: object = {}) => ({
    to: [String(bob)],
    cc: [],
    bcc: [],
    subject,
    body,
    encrypt: false,
    attachments: [],
    ...more
  })
  /** Bytes in Bob's mailbox. */
  const deliver = (id: string, raw: string) => Context.get(store, Mailer).send({ id, to: [bob], raw: Buffer.from(raw) })

  /** As Bob's agent does, by the socket of his runtime. */
  const sendAsAgent = (to: SandboxId, body: string) =>
    Effect.promise(() => {
      process.env["KM_MAIL_SOCKET"] = path.join(state, "mail.sock")
      const bytes = Buffer.from(body)
      const bare = { cc: [], bcc: [], subject: "from an agent", encrypt: false, attachments: [] }
      return call({ op: "send", to: [to], ...bare, bodySize: bytes.length }, [bytes])
    })

  /** `km-send` as Bob's agent runs it. */
  const kmSend = (args: ReadonlyArray<string>) =>
    Effect.callback<{ readonly exit: number | null; readonly out: string; readonly err: string }>((resume) => {
      const child = spawn(process.execPath, [kmSendScript, ...args], {
        env: { KM_MAIL_SOCKET: path.join(state, "mail.sock") },
        stdio: ["ignore", "pipe", "pipe"]
      })
      const said = { out: "", err: "" }
      child.stdout.on("data", (chunk: Buffer) => said.out += chunk.toString())
      child.stderr.on("data", (chunk: Buffer) => said.err += chunk.toString())
      child.once("close", (exit) => resume(Effect.succeed({ exit, ...said })))
      return Effect.sync(() => void child.kill("SIGKILL"))
    })

  const stop = Effect.suspend(() =>
    Context.get(store, Controls).send(bob, { kind: "stop", id: "stop-1", by: "operator" })
  )

  /** As somebody does who can write the install's tables, and has no key of the certifier. */
  const rename = (id: SandboxId, alias: Alias) =>
    sandboxes.update(id, { alias, mailAddresses: [addressOf(id), `${alias}@km.invalid`] })

  return {
    kmSend,
    store,
    queue,
    sandboxes,
    stop,
    judgedAll,
    deliver,
    sendAsAgent,
    rename,
    state,
    agent,
    bridge,
    live,
    inboxOf,
    quiet,
    accountOf,
    turns,
    mailbox,
    ledger,
    letter
  }
})
