/**
 * What an agent waits for: `km-send` beside a shell pipeline that signs and delivers the same message, the way from there
 * to `km-recv --watch`, and `km-recv` on a mailbox of 100,000. Everything from `dist/`, whole processes, wall clock.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { createPrivateKey } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { fileURLToPath } from "node:url"
import { statePaths } from "../../runtime/adapters/disk/StateDirectory.ts"
import {
  mailboxKeyPath,
  mailSigningKeyFromText,
  mailSigningKeyPath
} from "../../runtime/domain/identity/MailIdentity.ts"
import { type Judged, sealed, sealedSummary, summaryOf } from "../../runtime/domain/mail/JudgedMail.ts"
import type { SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import * as FileSecrets from "../../runtime/engines/embedded/FileSecrets.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import { mailDirectory } from "../support/mailPrograms.ts"
import { profileWith } from "../support/profiles.ts"
import { makeStack } from "../support/Stack.ts"
import { type BenchRow, meets, percentile } from "./BenchRow.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const shellSend = fileURLToPath(new URL("./shellSend.sh", import.meta.url))

const rounds = 40
const warmUps = 3
/** Before each, so that none pays for what the runtime still does with the message before. */
const calmMillis = 150
const largeBox = 100_000
const smallBox = 1_000

/** 4 KB of lines as an agent writes them; no two alike, since a repetition would be put into quarantine. */
const bodyOf = (n: number): string =>
  Array.from({ length: 64 }, (_, line) => `${n}.${line}: the smoke tests passed on this host in 12 s, nothing to do`)
    .join("\n").slice(0, 4096)

/** A hundred times the messages, and no more memory than garbage makes a process swing by. */
const flat = "<= 1.1"

const slack = { notifySlackEnabled: true, notifySlackPerSandbox: true, notifySlackInboundEnabled: true }

const row = (values: Omit<BenchRow, "area" | "ok">): BenchRow => ({
  area: "mail",
  ...values,
  ok: meets(values.value, values.target)
})

const spread = (samples: ReadonlyArray<number>) => ({ p50: percentile(samples, 50), p99: percentile(samples, 99) })

interface Program {
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string>>
}

const basics = { PATH: "/usr/local/bin:/usr/bin:/bin" }

/** Milliseconds of the whole process, from the spawn to its end, with the body as a file on standard input. */
const timed = ({ args, command, env }: Program, body: string): number => {
  const input = fs.openSync(body, "r")
  const started = performance.now()
  const run = spawnSync(command, args, { env: { ...basics, ...env }, stdio: [input, "ignore", "pipe"] })
  const millis = performance.now() - started
  fs.closeSync(input)
  if (run.status !== 0) throw new Error(`${command} ${args.join(" ")} exited ${run.status}: ${String(run.stderr)}`)
  return millis
}

const has = (command: string): boolean => spawnSync(command, ["--help"], { stdio: "ignore" }).error === undefined

/** Of the programs that the shell pipeline is made of, those that this machine has not. */
const missing = (): ReadonlyArray<string> =>
  ["bash", "openssl", "jq", "basenc", "sha256sum"].filter((name) => !has(name))

const makeParties = Effect.fnUntraced(function*(state: string, ids: Readonly<Record<string, SandboxId>>) {
  const secrets = yield* Secrets
  const secret = (name: string) => Effect.map(secrets.get(name), (found) => Redacted.value(Option.getOrThrow(found)))
  return {
    pem: Effect.fnUntraced(function*(owner: SandboxId) {
      const text = yield* secret(mailSigningKeyPath(owner))
      const key = mailSigningKeyFromText(text)
      if (key === undefined) return yield* Effect.die(new Error("no mail key"))
      const der = Buffer.concat([
        Buffer.from("302e020100300506032b657004220420", "hex"),
        Buffer.from(text, "base64").subarray(0, 32)
      ])
      const pem = createPrivateKey({ key: der, format: "der", type: "pkcs8" }).export({ format: "pem", type: "pkcs8" })
      return { keyId: key.keyId, pem: String(pem) }
    }),
    seal: (owner: SandboxId) => Effect.map(secret(mailboxKeyPath(owner)), (text) => Buffer.from(text, "base64")),
    program: (owner: SandboxId, name: "km-send" | "km-recv", args: ReadonlyArray<string>): Program => {
      const mail = mailDirectory(statePaths(state).sandbox(owner).directory)
      return { command: path.join(mail, name), args, env: { KM_MAIL_SOCKET: path.join(mail, "mail.sock") } }
    },
    ids
  }
})

/** Fills a mailbox with read messages and 20 unread ones, as a runtime would have filed them; `raw` is a real one. */
const fill = (database: DatabaseSync, owner: SandboxId, seal: Uint8Array, count: number, raw: Uint8Array): void => {
  const insert = database.prepare(
    "INSERT INTO mail (owner, id, state, received_at, size, unread, raw, message_id) " +
      "VALUES (?, ?, 'inbox', ?, ?, ?, ?, ?)"
  )
  const insertFiled = database.prepare(
    "INSERT INTO mail_filed (seq, summary, content_size, content) VALUES (last_insert_rowid(), ?, ?, ?)"
  )
  const begun = Date.now() - count * 1_000
  database.exec("BEGIN")
  for (let n = 0; n < count; n++) {
    const id = `bench/${n}`
    const judged: Judged = {
      status: "verified",
      reason: "",
      id: `<${n}@bench.invalid>`,
      sender: "sb-0000bench",
      from: "sb-0000bench@bench.invalid",
      to: [`${owner}@bench.invalid`],
      cc: [],
      replyTo: null,
      subject: `smoke tests ${n}`,
      inReplyTo: null,
      references: [],
      date: new Date(begun + n * 1_000).toISOString(),
      hop: 0,
      encrypted: true,
      body: `${n}: the smoke tests passed on this host, nothing to do`,
      attachments: []
    }
    const content = sealed(seal, owner, id, "inbox", judged)
    insert.run(owner, id, begun + n * 1_000, raw.length, n >= count - 20 ? 1 : 0, raw, judged.id)
    insertFiled.run(sealedSummary(seal, owner, id, "inbox", summaryOf(judged)), Buffer.byteLength(content), content)
  }
  database.exec("COMMIT")
}

const residentOf = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(fs.readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1_024

/** Says on standard error, at its end, how much memory a Node program had at most, in kB. */
const tellPeak =
  "data:text/javascript,process.on('exit',()=>process.stderr.write('peak '+process.resourceUsage().maxRSS))"

/** Mebibytes at most. */
const peakOf = ({ args, env }: Program): number => {
  const run = spawnSync(
    process.execPath,
    ["--import", tellPeak, path.join(root, "dist/km-recv.cjs"), ...args],
    { env: { ...basics, ...env }, encoding: "utf8" }
  )
  if (run.status !== 0) throw new Error(`km-recv exited ${run.status}: ${run.stderr}`)
  return Number(/peak (\d+)/.exec(run.stderr)?.[1]) / 1_024
}

/** Resolves with the time at which the program has printed the text. */
const printed = (child: ChildProcess) => {
  let out = ""
  const wanted = new Map<string, (at: number) => void>()
  child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
    out += chunk
    const lines = out.split("\n")
    out = lines.pop() ?? ""
    for (const [text, resolve] of wanted) {
      if (!lines.some((line) => line.includes(text))) continue
      wanted.delete(text)
      resolve(performance.now())
    }
  })
  return (text: string) => new Promise<number>((resolve) => wanted.set(text, resolve))
}

/** Milliseconds from the end of `km-send` to the line of `km-recv`; 0 when the line came first. */
const deliver = async (send: Program, body: string, line: Promise<number>): Promise<number> => {
  const input = fs.openSync(body, "r")
  const child = spawn(send.command, send.args, { env: { ...basics, ...send.env }, stdio: [input, "ignore", "inherit"] })
  fs.closeSync(input)
  const ended = await new Promise<number>((resolve, reject) => {
    child.once("exit", (code) => code === 0 ? resolve(performance.now()) : reject(new Error(`km-send exited ${code}`)))
  })
  return Math.max(0, await line - ended)
}

const program = Effect.scoped(Effect.gen(function*() {
  const stack = yield* makeStack({ runtimeRoot: path.join(root, "dist/km-runtime.mjs") })
  yield* stack.startBridge
  const first = yield* stack.startRuntime
  const paths = statePaths(stack.state)
  const sandbox = (encryption: string) =>
    Effect.map(stack.sandbox(profileWith(slack, { email: { encryption } })), ({ row: { id } }) => id)
  const ids = {
    plain: yield* sandbox("off"),
    sealing: yield* sandbox("optional"),
    reader: yield* sandbox("optional"),
    small: yield* sandbox("optional"),
    large: yield* sandbox("optional")
  }
  const parties = yield* makeParties(stack.state, ids).pipe(Effect.provide(FileSecrets.layer(paths.secrets)))
  const work = fs.mkdtempSync(path.join(path.dirname(stack.state), "mail-"))
  const bodies = Array.from({ length: 3 * (rounds + warmUps) }, (_, n) => {
    const file = path.join(work, `body-${n}`)
    fs.writeFileSync(file, bodyOf(n))
    return file
  })
  const sending = (owner: SandboxId, subject: string) =>
    parties.program(owner, "km-send", ["--to", ids.reader, "--subject", subject])

  // km-send and the shell, in turn.
  const { keyId, pem } = yield* parties.pem(ids.plain)
  for (const directory of ["tmp", "new"]) fs.mkdirSync(path.join(work, "maildir", directory), { recursive: true })
  fs.writeFileSync(path.join(work, "key.pem"), pem, { mode: 0o600 })
  const shell = (subject: string): Program => ({
    command: shellSend,
    args: [`${ids.reader}@km.invalid`, subject],
    env: {
      KEY: path.join(work, "key.pem"),
      KEY_ID: keyId,
      INSTALL: "km",
      SENDER: ids.plain,
      FROM: `${ids.plain}@km.invalid`,
      MAILDIR: path.join(work, "maildir")
    }
  })
  const absent = missing()
  const figures = { signed: new Array<number>(), encrypted: new Array<number>(), shell: new Array<number>() }
  for (let n = 0; n < rounds + warmUps; n++) {
    yield* Effect.sleep(calmMillis)
    const signed = timed(sending(ids.plain, `signed ${n}`), bodies[3 * n] ?? "")
    yield* Effect.sleep(calmMillis)
    const other = absent.length === 0 ? timed(shell(`shell ${n}`), bodies[3 * n + 1] ?? "") : Number.NaN
    yield* Effect.sleep(calmMillis)
    const encrypted = timed(sending(ids.sealing, `encrypted ${n}`), bodies[3 * n + 2] ?? "")
    if (n < warmUps) continue
    figures.signed.push(signed)
    figures.shell.push(other)
    figures.encrypted.push(encrypted)
  }

  // What the shell wrote is a message of the same worth: the reader's runtime finds it verified.
  const database = new DatabaseSync(paths.database, { timeout: 5_000 })
  const [written] = fs.readdirSync(path.join(work, "maildir/new"))
  if (written !== undefined) {
    const raw = fs.readFileSync(path.join(work, "maildir/new", written))
    database.prepare(
      "INSERT INTO mail (owner, id, state, received_at, size, raw) VALUES (?, 'shell', 'arrived', ?, ?, ?)"
    )
      .run(ids.reader, Date.now(), raw.length, raw)
    const reading = parties.program(ids.reader, "km-recv", ["--id", "shell", "--json", "--wait", "30"])
    const read = spawnSync(reading.command, reading.args, { env: { ...basics, ...reading.env }, encoding: "utf8" })
    if (!read.stdout.includes("\"status\": \"verified\"")) {
      throw new Error(`the shell's message is not verified: ${read.stdout}${read.stderr}`)
    }
  }

  // From the end of km-send to the line of km-recv.
  const watching = parties.program(ids.reader, "km-recv", ["--watch", "--json"])
  const watcher = spawn(watching.command, watching.args, {
    env: { ...basics, ...watching.env },
    stdio: ["ignore", "pipe", "inherit"]
  })
  const line = printed(watcher)
  const deliveries: Array<number> = []
  for (let n = 0; n < rounds + warmUps; n++) {
    const seen = line(`"watched ${n}"`)
    const millis = yield* Effect.promise(() => deliver(sending(ids.sealing, `watched ${n}`), bodies[3 * n] ?? "", seen))
    if (n >= warmUps) deliveries.push(millis)
  }
  watcher.kill("SIGTERM")

  // A small and a large mailbox, filled while nobody serves them.
  yield* first.end("SIGTERM")
  const sample = database.prepare("SELECT raw FROM mail WHERE owner = ? AND raw IS NOT NULL LIMIT 1").get(ids.reader)
  const raw = sample?.["raw"] instanceof Uint8Array ? sample["raw"] : new Uint8Array()
  fill(database, ids.small, yield* parties.seal(ids.small), smallBox, raw)
  fill(database, ids.large, yield* parties.seal(ids.large), largeBox, raw)
  database.close()
  const runtime = yield* stack.startRuntime
  const newest = (owner: SandboxId, ...args: ReadonlyArray<string>) =>
    parties.program(owner, "km-recv", ["--json", "--wait", "30", ...args])
  const boxes = [ids.small, ids.large] as const
  const reads: { readonly [box in "small" | "large"]: Array<number> } = { small: [], large: [] }
  for (const box of boxes) timed(newest(box, "--limit", "1"), "/dev/null")
  for (let n = 0; n < rounds; n++) {
    reads.small.push(timed(newest(ids.small, "--limit", "1"), "/dev/null"))
    reads.large.push(timed(newest(ids.large, "--limit", "1"), "/dev/null"))
  }
  const resident = boxes.map((box) => {
    for (let n = 0; n < rounds; n++) timed(newest(box), "/dev/null")
    return residentOf(runtime.pid)
  })
  const [residentSmall = Number.NaN, residentLarge = Number.NaN] = resident
  const peaks = boxes.map((box) => percentile(Array.from({ length: 5 }, () => peakOf(newest(box))), 50))
  const [peakSmall = Number.NaN, peakLarge = Number.NaN] = peaks

  const ratios = figures.signed.map((millis, n) => millis / (figures.shell[n] ?? Number.NaN))
  const beside = absent.length === 0
    ? row({
      name: "km-send, signed, against the shell: pairwise",
      unit: "x",
      value: percentile(ratios, 50),
      p50: percentile(ratios, 50),
      p99: percentile(ratios, 99),
      target: "<= 1",
      baseline: percentile(figures.shell, 50),
      ratio: percentile(ratios, 50)
    })
    : row({
      name: `km-send against the shell: not measured, this machine has no ${absent.join(" and no ")}`,
      unit: "x",
      value: 0,
      target: ""
    })
  return [
    row({
      name: "km-send, signed, whole command, 4 KB (baseline: a shell pipeline that signs the same with openssl)",
      unit: "ms",
      value: percentile(figures.signed, 50),
      ...spread(figures.signed),
      target: "<= 150",
      ...(absent.length === 0 ? { baseline: percentile(figures.shell, 50), ratio: percentile(ratios, 50) } : {})
    }),
    beside,
    ...(absent.length === 0
      ? [row({
        name: "… that shell pipeline: canonical body, v2 manifest, openssl, maildir",
        unit: "ms",
        value: percentile(figures.shell, 50),
        ...spread(figures.shell),
        target: ""
      })]
      : []),
    row({
      name: "km-send, signed and encrypted (the default), whole command, 4 KB",
      unit: "ms",
      value: percentile(figures.encrypted, 50),
      ...spread(figures.encrypted),
      target: "<= 150"
    }),
    row({
      name: "km-send ends → km-recv --watch prints, p95",
      unit: "ms",
      value: percentile(deliveries, 95),
      ...spread(deliveries),
      target: "<= 150"
    }),
    row({
      name: "km-recv of the newest of 100,000 messages (baseline: of 1,000)",
      unit: "ms",
      value: percentile(reads.large, 50),
      ...spread(reads.large),
      target: "<= 200",
      baseline: percentile(reads.small, 50),
      ratio: percentile(reads.large, 50) / percentile(reads.small, 50)
    }),
    row({
      name: "… memory of km-recv at most, against a mailbox of 1,000",
      unit: "x",
      value: peakLarge / peakSmall,
      target: flat,
      baseline: peakSmall,
      ratio: peakLarge / peakSmall
    }),
    row({
      name: "… memory of the runtime after 40 reads, against after 40 reads of 1,000",
      unit: "x",
      value: residentLarge / residentSmall,
      target: flat,
      baseline: residentSmall,
      ratio: residentLarge / residentSmall
    })
  ]
}))

export const run = (): Promise<ReadonlyArray<BenchRow>> => {
  const built = spawnSync(process.execPath, [path.join(root, "km-cli/build/bundle.ts")], {
    cwd: root,
    stdio: "inherit"
  })
  if (built.status !== 0) throw new Error("the bundles could not be built")
  return Effect.runPromise(program)
}
