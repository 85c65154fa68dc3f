/** No input makes `km` blame itself: whatever is typed or lies in a file, the answer is a result or an error with a code. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option } from "effect"
import * as Completion from "effect/cli/Completions"
import { TestClock } from "effect/testing"
import * as fs from "node:fs"
import * as path from "node:path"
import { km } from "../../km-cli/Km.ts"
import { KmError } from "../../km-cli/KmError.ts"
import * as UpFile from "../../km-cli/up/UpFile.ts"
import { readInstall } from "../../runtime/adapters/disk/StateDirectory.ts"
import { Alias, ChannelId, InstallName, SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import { World } from "../support/ControlWorld.ts"
import { badContents, badFiles, badValues } from "../support/garbage.ts"
import { km as runKm } from "../support/KmProcess.ts"
import { mailState } from "../support/MailState.ts"
import { slackProfile } from "../support/profiles.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { type Ran, TestKm } from "../support/TestKm.ts"

/** A command with its path, the words it needs, and what may be given to it. */
interface Leaf {
  readonly path: ReadonlyArray<string>
  readonly command: Completion.CommandDescriptor
}

const leavesOf = (command: Completion.CommandDescriptor, at: ReadonlyArray<string> = []): ReadonlyArray<Leaf> => [
  ...command.subcommands.length === 0 || command.arguments.length + command.flags.length > 0
    ? [{ path: at, command }]
    : [],
  ...command.subcommands.flatMap((child) => leavesOf(child, [...at, child.name]))
]

/** `up` and `demo` start programs; they are given bad settings alone, which they read first. */
const starts = new Set(["up", "demo"])
const leaves = leavesOf(Completion.fromCommand(km))

const good: Readonly<Record<string, ReadonlyArray<string>>> = {
  profile: ["profiles/demo.yaml"],
  sandbox: ["demo"],
  message: ["hello"],
  turn: ["T0AAAAAAA-C0DEMO1-1700000000.000001"],
  when: ["in 2 hours"],
  action: ["stop", "demo"],
  delivery: ["x"],
  identity: ["operator"],
  schedule: ["x"],
  shell: ["bash"]
}
const goodFlags: Readonly<Record<string, ReadonlyArray<string>>> = {
  "email send": ["--to", "demo", "--body-text", "x"],
  "identity revoke": ["--key", "x"],
  at: ["--yes"],
  destroy: ["--yes", "--dry-run"],
  github: ["--no-browser"]
}

const argumentsOf = ({ command }: Leaf): ReadonlyArray<ReadonlyArray<string>> =>
  command.arguments.filter(({ required }) => required).map(({ name }) => good[name] ?? ["x"])

/** Every flag with every value, every argument with every value in its place, and every file where a file is wanted. */
const linesOf = (leaf: Leaf, values: ReadonlyArray<string>): ReadonlyArray<ReadonlyArray<string>> => {
  const given = argumentsOf(leaf)
  const flags = goodFlags[leaf.path.join(" ")] ?? []
  const line = [...leaf.path, ...given.flat(), ...flags]
  const withFlag = leaf.command.flags.flatMap(({ name, type }) =>
    values.flatMap((value) => type._tag === "Boolean" ? [] : [[...line, `--${name}`, value]])
  )
  const withBare = leaf.command.flags.flatMap(({ name, type }) =>
    type._tag === "Boolean" && name !== "follow" ? [[...line, `--${name}`], [...line, `--${name}=maybe`]] : []
  )
  const withArgument = leaf.command.arguments.flatMap((_, at) =>
    values.map((value) => [
      ...leaf.path,
      ...given.slice(0, at).flat(),
      value,
      ...given.slice(at + 1).flat(),
      ...flags
    ])
  )
  return [line, ...withFlag, ...withBare, ...withArgument, ...values.map((value) => [...line, value])]
}

const world = (): World => {
  const made = new World()
  made.rows.set(SandboxId.make("sb-1a2b3c4d"), {
    id: SandboxId.make("sb-1a2b3c4d"),
    install: InstallName.make("km"),
    alias: Alias.make("demo"),
    channel: ChannelId.make("C0DEMO1"),
    profile: slackProfile,
    desired: "running",
    status: "running",
    unconfined: false,
    createdAt: 0,
    generation: "1",
    inventory: [{ kind: "threads", ref: "sb-1a2b3c4d", state: "planned" }]
  })
  return made
}

const noMail = Effect.fail(new KmError({ code: "KM-EML-108", exit: 3, what: "none", why: "", next: "" }))

const kmOf = (): TestKm => {
  const made = new TestKm(world())
  made.mail = {
    refusing: () => Effect.succeed([]),
    send: () => Effect.succeed({ id: "<x@km.invalid>", recipients: ["a@km.invalid"], encrypted: true, hop: 0 }),
    judgeAll: Effect.void,
    list: () => Effect.succeed([]),
    replies: () => Effect.succeed({ found: [], missing: ["a@km.invalid"], gone: [] }),
    get: () => noMail,
    release: () => noMail,
    raw: () => noMail,
    saveAttachments: () => noMail
  }
  return made
}

/** Lets what waits for the clock go on, a turn of the event loop at a time. */
const ended = Effect.fnUntraced(function*(run: Effect.Effect<Ran>) {
  const fiber = yield* Effect.forkChild(run)
  while (fiber.pollUnsafe() === undefined) {
    yield* TestClock.adjust("1 hour")
    yield* Effect.promise(() => new Promise<void>((next) => void setImmediate(next)))
  }
  return yield* Fiber.await(fiber)
})

const shown = (line: ReadonlyArray<string>): string => JSON.stringify(line.map((word) => word.slice(0, 40)))

/** What is wrong with how it ended; none for a result, or an error with a code other than the one for defects. */
const complaint = Effect.fnUntraced(function*(made: TestKm, line: ReadonlyArray<string>) {
  const exit = yield* ended(made.run(...line))
  if (exit._tag === "Failure") return [`${shown(line)}: ${String(exit.cause).slice(0, 300)}`]
  const { err, exit: code } = exit.value
  const told = err.some((text) => /^error KM-[A-Z]{3}-\d{3}: /.test(text))
  const bad = err.some((text) => text.includes("KM-CLI-099")) || (code !== 0 && !told)
  return bad ? [`${shown(line)} (${code}): ${err.join(" / ").slice(0, 300)}`] : []
})

const complaints = Effect.fnUntraced(function*(made: TestKm, lines: ReadonlyArray<ReadonlyArray<string>>) {
  const found: Array<string> = []
  for (const line of lines) found.push(...yield* complaint(made, line))
  return found
})

describe("garbage on the command line", () => {
  for (const leaf of leaves.filter((one) => !starts.has(one.path.join(" ")))) {
    it.effect(`km ${leaf.path.join(" ")}`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* complaints(kmOf(), linesOf(leaf, badValues)), [])
      }))
  }

  it.effect("flags of every command, before and after it", () =>
    Effect.gen(function*() {
      const lines = ["--state", "--config", "--log-level", "--json", "--help", "--version", "--", "-x", "--frob"]
        .flatMap((flag) =>
          badValues.filter((value) => !starts.has(value)).flatMap((
            value
          ) => [[flag, value, "list"], ["list", `${flag}=${value}`], [value, flag]])
        )
      assert.deepStrictEqual(yield* complaints(kmOf(), lines), [])
    }))
})

describe("garbage in the environment", () => {
  it.effect("every variable", () =>
    Effect.gen(function*() {
      const found: Array<string> = []
      const names = [
        "KM_STATE",
        "KM_CONFIG",
        "KM_INSTALL",
        "KM_READY_WITHIN",
        "KM_UNCONFINED",
        "KM_UNATTENDED_CERTIFIER",
        "KM_BRIDGE_PUBLIC_URL",
        "KM_BRIDGE_LISTEN",
        "KM_BRIDGE_TRUSTED_PROXY",
        "KM_SLACK_API_URL",
        "HOME",
        "XDG_STATE_HOME",
        "CI",
        "NO_COLOR"
      ]
      for (const name of names) {
        for (const value of badValues.filter((text) => !text.includes("\0"))) {
          const made = kmOf()
          made.env = { HOME: "/nowhere", [name]: value }
          found.push(...yield* complaint(made, ["config", "explain"]))
        }
      }
      assert.deepStrictEqual(found, [])
    }))
})

const withFiles = (line: (file: string) => ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const files = Object.values(badFiles(yield* temporaryDirectory))
    assert.deepStrictEqual(yield* complaints(kmOf(), files.map(line)), [])
  }).pipe(Effect.scoped)

describe("garbage in files", () => {
  it.effect("the configuration file", () => withFiles((file) => ["list", "--config", file]))

  for (const command of starts) {
    it.effect(`the configuration file of km ${command}`, () =>
      Effect.gen(function*() {
        const { empty, ...files } = badFiles(yield* temporaryDirectory)
        // What is empty says nothing, which is no mistake.
        const wrong = Object.entries(files).filter(([name]) => !["a blank", "null"].includes(name))
        assert.isString(empty)
        for (const [name, file] of wrong) {
          const { err, exit } = yield* kmOf().run(command, "--config", file)
          assert.deepStrictEqual([name, exit, err[0]?.slice(0, 17)], [name, 2, "error KM-CLI-010:"])
        }
      }).pipe(Effect.scoped))
  }

  it.effect("a profile, validated", () => withFiles((file) => ["validate", file]))
  it.effect("a profile, to be created", () => withFiles((file) => ["create", file]))
  it.effect("a profile that another extends", () =>
    Effect.gen(function*() {
      const directory = yield* temporaryDirectory
      const files = Object.values(badFiles(directory)).map((file, at) => {
        const child = path.join(directory, `child-${at}.yaml`)
        fs.writeFileSync(child, `extends: ${JSON.stringify(path.relative(directory, file) || ".")}\n`)
        return child
      })
      assert.deepStrictEqual(yield* complaints(kmOf(), files.map((file) => ["validate", file])), [])
    }).pipe(Effect.scoped))
  it.effect("a profile of a schedule", () => withFiles((file) => ["at", "in 2 hours", "create", file, "--yes"]))
  it.effect("the body of a letter", () => withFiles((file) => ["email", "send", "--to", "demo", "--body", file]))
  it.effect("an attachment", () =>
    withFiles((file) => ["email", "send", "--to", "demo", "--body-text", "x", "--attach", file]))
  it.effect("the body of a scheduled letter", () =>
    withFiles((file) => ["at", "in 2 hours", "email", "send", "--to", "demo", "--body", file, "--yes"]))
  it.effect("the directory of attachments", () =>
    withFiles((file) => ["email", "read", "x", "--save-attachments", file]))
  it.effect("the state directory", () => withFiles((file) => ["logs", "--state", file]))
})

/** An `up.json` whose supervisor is this one. */
const upOf = (pid: unknown) =>
  JSON.stringify({
    version: 1,
    supervisor: { pid, startTime: "" },
    children: [],
    bridgeUrl: "",
    modelScripted: true,
    ready: true,
    startedAt: 0
  })

describe("garbage in the state", () => {
  it.live("install.json is refused with a code, whatever it holds", () =>
    Effect.gen(function*() {
      const state = yield* temporaryDirectory
      const file = path.join(state, "install.json")
      const sane = {
        version: 1,
        install: "km",
        certifierPublicKey: Buffer.alloc(32).toString("base64"),
        bridgeUrl: "http://127.0.0.1:9",
        bridgeHost: "x",
        slackApiUrl: "http://127.0.0.1:9/api/",
        local: true
      }
      const odd = [
        { bridgeUrl: "http://:::" },
        { bridgeUrl: "http://a:99999" },
        { slackApiUrl: "https://[::/" },
        { certifierPublicKey: "" },
        { version: null },
        { operators: "U1" },
        { smtp: [] }
      ].map((change) => JSON.stringify({ ...sane, ...change }))
      for (const content of [...Object.values(badContents), ...odd]) {
        fs.writeFileSync(file, content)
        assert.strictEqual((yield* Effect.flip(readInstall(state))).code, "KM-ENG-007", String(content).slice(0, 80))
      }
      fs.rmSync(file)
      fs.mkdirSync(file)
      assert.strictEqual((yield* Effect.flip(readInstall(state))).code, "KM-ENG-005")
    }).pipe(Effect.scoped))

  it.live("up.json names processes, and a group of them is none", () =>
    Effect.gen(function*() {
      const run = yield* temporaryDirectory
      for (const content of [...Object.values(badContents), upOf(0), upOf(-1), upOf("1"), upOf(null)]) {
        fs.writeFileSync(path.join(run, "up.json"), content)
        assert.isTrue(Option.isNone(yield* UpFile.read(run)), String(content).slice(0, 80))
      }
    }).pipe(Effect.scoped))
})

describe("garbage met by a real process", () => {
  it.live("a time zone that is none, a configuration that names itself", () =>
    Effect.gen(function*() {
      const { state } = yield* mailState({ "sb-1a2b3c4d": "demo" })
      for (const TZ of ["UTC0", "Foo/Bar", "CET-1CEST"]) {
        const { err, exit } = yield* runKm(state, ["at", "tomorrow at 9am", "stop", "demo", "--yes"], { TZ })
        assert.deepStrictEqual([exit, err.split("\n")[0]?.slice(0, 17)], [2, "error KM-SCH-004:"], TZ)
        assert.include(err, `TZ="${TZ}"`)
      }
      const file = path.join(state, "config.yaml")
      fs.writeFileSync(file, badContents["an alias to itself"] ?? "")
      const { err, exit } = yield* runKm(state, ["list", "--config", file])
      assert.strictEqual(exit, 2)
      assert.include(err, "an alias stands in what it names")
    }).pipe(Effect.scoped))
})
