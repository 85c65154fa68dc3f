import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Path } from "effect"
import * as Completions from "effect/cli/Completions"
import { spawnSync } from "node:child_process"
import { userInfo } from "node:os"
import { placesOf } from "../../km-cli/completions/Places.ts"
import { km as root } from "../../km-cli/Km.ts"
import * as UpFile from "../../km-cli/up/UpFile.ts"
import { Alias, ChannelId, GroupId, InstallName, SandboxId, TurnKey } from "../../runtime/domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../runtime/domain/sandbox/Sandbox.ts"
import type { TurnRow } from "../../runtime/domain/turn/Turn.ts"
import { World } from "../support/ControlWorld.ts"
import { profileWith, slackProfile } from "../support/profiles.ts"
import { TestKm } from "../support/TestKm.ts"

const rowOf = (id: string, changes: Partial<SandboxRow> = {}): SandboxRow => ({
  id: SandboxId.make(id),
  install: InstallName.make("km"),
  profile: slackProfile,
  desired: "running",
  status: "running",
  unconfined: false,
  createdAt: 0,
  generation: "1",
  inventory: [{ kind: "threads", ref: id, state: "planned" }],
  ...changes
})

const demo = rowOf("sb-1a2b3c4d", {
  alias: Alias.make("demo"),
  channel: ChannelId.make("C0DEMO1"),
  channelName: "sb-demo",
  channelMode: "perSandbox",
  expiresAt: 8 * 3_600_000
})
const other = rowOf("sb-1affffff", { status: "stopped", unconfined: true })

const worldOf = (...rows: ReadonlyArray<SandboxRow>) => {
  const world = new World()
  for (const row of rows) {
    world.rows.set(row.id, row)
    world.reports.reports.set(row.id, { ready: true, plugins: [] })
  }
  return world
}

const inDirectory = <A, E>(
  files: Record<string, string>,
  body: (directory: string) => Effect.Effect<A, E>
) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const directory = yield* fs.makeTempDirectoryScoped()
    for (const [name, text] of Object.entries(files)) yield* fs.writeFileString(path.join(directory, name), text)
    return yield* body(directory)
  }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))

const mailOnly = "apiVersion: klankermaker.ai/v1\nkind: SandboxProfile\nmetadata: { name: quiet }\n"

describe("km: the command line", () => {
  it.effect("help is data and opens nothing", () =>
    Effect.gen(function*() {
      const { err, exit, out } = yield* new TestKm().run("--help")
      assert.strictEqual(exit, 0)
      assert.deepStrictEqual(err, [])
      const text = out.join("\n")
      for (const command of ["up", "down", "demo", "validate", "create", "list", "status", "destroy", "stop", "chat"]) {
        assert.match(text, new RegExp(`^  ${command}[ ,]`, "m"))
      }
      for (const command of ["logs", "replay", "slack", "doctor", "config", "completions"]) {
        assert.match(text, new RegExp(`^  ${command} `, "m"))
      }
      assert.notMatch(text, /^ {2}(workspace|model) /m)
    }))

  it.effect("a wrong command line is exit 2 with the command to look at, and prints no data", () =>
    Effect.gen(function*() {
      const km = new TestKm()
      assert.deepStrictEqual(yield* km.run("frob"), {
        exit: 2,
        out: [],
        err: ["error KM-CLI-001: km: Unknown subcommand \"frob\" for \"km\"", "  next: km --help"]
      })
      assert.deepStrictEqual(yield* km.run("create"), {
        exit: 2,
        out: [],
        err: ["error KM-CLI-001: km create: Missing required argument: profile", "  next: km create --help"]
      })
      assert.strictEqual((yield* km.run("list", "--frob")).exit, 2)
      assert.deepStrictEqual(yield* km.run("chat", "demo", " "), {
        exit: 2,
        out: [],
        err: ["error KM-CLI-001: the message is empty", "  next: km chat --help"]
      })
    }))

  it.effect("a slip in a command, a flag or a choice is answered with what was meant", () =>
    Effect.gen(function*() {
      const slips = [
        [["lst"], "list"],
        [["email", "snd"], "send"],
        [["help", "crate"], "create"],
        [["list", "--jsn"], "--json"],
        [["list", "--instal", "x"], "--install"],
        [["create", "x", "--unconfind"], "--unconfined"],
        [["logs", "--part", "brige"], "bridge"],
        [["completions", "zhs"], "zsh"]
      ] as const
      for (const [line, meant] of slips) {
        const { err, exit } = yield* new TestKm().run(...line)
        assert.deepStrictEqual([exit, err[1]], [2, `  why:  did you mean ${meant}?`], line.join(" "))
      }
    }))

  it.effect("km help and km version are what --help and --version are", () =>
    Effect.gen(function*() {
      const km = new TestKm()
      assert.deepStrictEqual(yield* km.run("help"), yield* km.run("--help"))
      assert.deepStrictEqual(yield* km.run("help", "email", "send"), yield* km.run("email", "send", "--help"))
      assert.deepStrictEqual(yield* km.run("version"), yield* km.run("--version"))
    }))

  it.effect("where nothing is installed, exit 3 says what to run, in both forms", () =>
    Effect.gen(function*() {
      const km = new TestKm()
      assert.deepStrictEqual(yield* km.run("list", "--state", "/tmp/none"), {
        exit: 3,
        out: [],
        err: [
          "error KM-ENG-006: the state directory was refused",
          "  why:  there is no install in /tmp/none",
          "  next: run `km up`, or set KM_STATE"
        ]
      })
      const json = yield* km.run("list", "--json", "--state", "/tmp/none")
      assert.strictEqual(json.exit, 3)
      assert.deepStrictEqual(JSON.parse(json.out.join("\n")), {
        ok: false,
        error: {
          code: "KM-ENG-006",
          what: "the state directory was refused",
          why: "there is no install in /tmp/none",
          next: "run `km up`, or set KM_STATE"
        }
      })
    }))
})

describe("km list and status", () => {
  it.effect("lists in columns, oldest first, and says who is unconfined or has the machine's network", () =>
    Effect.gen(function*() {
      const km = new TestKm(
        worldOf(demo, other, rowOf("sb-1b000000", { profile: profileWith({}, { network: { mode: "shared" } }) }))
      )
      assert.deepStrictEqual(yield* km.run("list"), {
        exit: 0,
        err: [],
        out: [
          "ALIAS  ID           STATUS                   CHANNEL   PROFILE  AGE  TTL  IDLE",
          "demo   sb-1a2b3c4d  running                  #sb-demo  demo     0s   8h   -",
          "-      sb-1affffff  stopped, unconfined      -         demo     0s   -    -",
          "-      sb-1b000000  running, network shared  -         demo     0s   -    -"
        ]
      })
    }))

  it.effect("status and JSON say what the agent's network is, not what the profile hoped for", () =>
    Effect.gen(function*() {
      const shared = rowOf("sb-1b000000", { profile: profileWith({}, { network: { mode: "shared" } }) })
      const world = worldOf(demo, other, shared)
      const networks = Effect.fnUntraced(function*(id: string) {
        const { out } = yield* new TestKm(world).run("status", id)
        const json = JSON.parse((yield* new TestKm(world).run("status", id, "--json")).out.join("\n"))
        return [out.find((line) => line.startsWith("network")), json.sandbox.network]
      })
      const open = "network   shared: the agent reaches what this machine reaches"
      assert.deepStrictEqual(yield* networks(demo.id), ["network   none", "none"])
      assert.deepStrictEqual(yield* networks(shared.id), [open, "shared"])
      assert.deepStrictEqual(yield* networks(other.id), [open, "shared"])
      // As its runtime reports it: the jail that the profile asks for cannot be made.
      world.reports.reports.set(demo.id, { ready: true, plugins: [], confined: false })
      assert.deepStrictEqual(yield* networks(demo.id), [open, "shared"])
    }))

  it.effect("without a jail every status says that nothing forces the traffic through the profile's proxy", () =>
    Effect.gen(function*() {
      const proxied = rowOf("sb-1b000000", {
        profile: profileWith({}, { network: { allowedHosts: ["registry.npmjs.org"] } })
      })
      const world = worldOf(proxied)
      const linesOf = Effect.fnUntraced(function*() {
        const { out } = yield* new TestKm(world).run("status", proxied.id)
        const checks = (yield* new TestKm(world).run("doctor")).out
        return [
          out.find((line) => line.startsWith("network")),
          checks.find((line) => line.includes(proxied.id) && line.includes("unconfined"))
        ]
      })
      assert.deepStrictEqual(yield* linesOf(), ["network   proxy", undefined])
      world.reports.reports.set(proxied.id, { ready: true, plugins: [], confined: false })
      const [network, doctor] = yield* linesOf()
      assert.strictEqual(
        network,
        "network   shared: the agent reaches what this machine reaches; nothing forces its traffic through the proxy"
      )
      assert.include(doctor, "is unconfined; nothing forces its traffic through the proxy; ")
    }))

  it.effect("an empty list is empty data; the advice is talk", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* new TestKm(new World()).run("list"), {
        exit: 0,
        out: [],
        err: ["no sandboxes; make one: km create profiles/demo.yaml --alias demo"]
      })
    }))

  it.effect("the JSON of a list has a stable shape and nothing else on standard output", () =>
    Effect.gen(function*() {
      const { err, out } = yield* new TestKm(worldOf(demo)).run("list", "--json")
      assert.deepStrictEqual(err, [])
      assert.deepStrictEqual(JSON.parse(out.join("\n")), {
        ok: true,
        sandboxes: [{
          id: "sb-1a2b3c4d",
          alias: "demo",
          status: "running",
          ready: true,
          confined: true,
          network: "none",
          profile: "demo",
          channel: { id: "C0DEMO1", name: "sb-demo", mode: "perSandbox" },
          createdAt: "1970-01-01T00:00:00.000Z",
          expiresAt: "1970-01-01T08:00:00.000Z",
          plugins: []
        }]
      })
    }))

  it.effect("status names a sandbox by id, alias or unique prefix; the resolution is talk", () =>
    Effect.gen(function*() {
      const km = new TestKm(worldOf(demo, other))
      const byId = yield* km.run("status", "sb-1a2b3c4d")
      assert.deepStrictEqual(byId.err, [])
      assert.strictEqual(byId.out[0], "sandbox   sb-1a2b3c4d (demo)")
      for (const reference of ["demo", "de", "sb-1a2"]) {
        const { err, exit, out } = yield* km.run("status", reference)
        assert.deepStrictEqual({ exit, err }, { exit: 0, err: [`${reference} is sb-1a2b3c4d (demo)`] })
        assert.deepStrictEqual(out, byId.out)
      }
      assert.deepStrictEqual(yield* km.run("status", "sb-1a"), {
        exit: 5,
        out: [],
        err: [
          "error KM-CLI-003: \"sb-1a\" fits 2 sandboxes",
          "  why:  sb-1a2b3c4d (demo), sb-1affffff",
          "  next: Give more of the id, or the alias."
        ]
      })
      assert.deepStrictEqual(yield* km.run("status", "dmeo"), {
        exit: 3,
        out: [],
        err: ["error KM-CLI-002: no sandbox is called \"dmeo\"", "  why:  the nearest is demo", "  next: km list"]
      })
    }))

  it.effect("status shows the turns that are recorded, and UNCONFINED in capitals", () =>
    Effect.gen(function*() {
      const km = new TestKm(worldOf(other))
      const key = TurnKey.make("T0001:C0DEMO1:1700000001.000001")
      const turn: TurnRow = {
        key,
        request: {
          key,
          group: GroupId.make("g"),
          origin: { kind: "operator", label: "test" },
          text: "hello",
          files: [],
          acceptedAt: 0
        },
        state: "settled",
        result: "parked",
        attempt: 2,
        resumed: false,
        shown: [],
        receivedAt: 0
      }
      km.knows(other.id, turn)
      const { out } = yield* km.run("status", "sb-1affffff")
      assert.include(out, "jail      UNCONFINED, as the operator accepted")
      assert.include(out, "  T0001:C0DEMO1:1700000001.000001  parked  attempt 2  0s ago")
    }))
})

describe("km validate and create", () => {
  it.live("validate: warnings do not fail, errors do, and create gives the same verdict", () =>
    inDirectory({
      "ok.yaml": `${mailOnly}spec: { cli: { notifySlackPerSandbox: true } }\n`,
      "bad.yaml": `${mailOnly}spec: { cli: { notifySlackEnable: true } }\n`
    }, (directory) =>
      Effect.gen(function*() {
        const km = new TestKm(new World())
        const warned = `${directory}/ok.yaml:4:16 warning KM-PRO-101 spec.cli.notifySlackPerSandbox: ` +
          "has no effect while Slack is off; set spec.cli.notifySlackEnabled: true or leave it out"
        assert.deepStrictEqual(yield* km.run("validate", `${directory}/ok.yaml`), {
          exit: 0,
          out: [warned],
          err: [`${directory}/ok.yaml is valid, 1 warning; network none`]
        })
        const created = yield* km.run("create", `${directory}/ok.yaml`, "--id", "sb-00000001", "--json")
        assert.strictEqual(created.exit, 0)
        assert.strictEqual(created.err[0], warned)
        assert.strictEqual(JSON.parse(created.out.join("\n")).sandbox.status, "running")
        const fault = `${directory}/bad.yaml:4:16 error KM-PRO-003 spec.cli.notifySlackEnable: ` +
          "unknown key; did you mean spec.cli.notifySlackEnabled?"
        assert.deepStrictEqual(yield* km.run("validate", `${directory}/bad.yaml`), {
          exit: 1,
          out: [fault],
          err: [
            `error KM-CLI-006: ${directory}/bad.yaml has 1 error`,
            `  next: correct the lines above, then: km validate ${directory}/bad.yaml`
          ]
        })
        const asJson = yield* km.run("validate", `${directory}/bad.yaml`, "--json")
        assert.strictEqual(JSON.parse(asJson.out.join("\n")).ok, false, "one document, though the command failed")
        const refused = yield* km.run("create", `${directory}/bad.yaml`)
        assert.deepStrictEqual({ exit: refused.exit, out: refused.out, first: refused.err[0] }, {
          exit: 1,
          out: [],
          first: fault
        })
        assert.strictEqual(km.world?.rows.size, 1)
      })))

  it.live("a dry run says what would be made and makes nothing", () =>
    inDirectory({}, () =>
      Effect.gen(function*() {
        const world = new World()
        const { exit, out } = yield* new TestKm(world).run(
          "create",
          "profiles/demo.yaml",
          "--alias",
          "demo",
          "--id",
          "sb-00000001",
          "--dry-run"
        )
        assert.deepStrictEqual({ exit, out }, {
          exit: 0,
          out: [
            "would create sb-00000001 (demo) from profiles/demo.yaml",
            "  channel  #sb-demo",
            "  ttl      8h",
            "  inbound  a queue",
            "  network  none",
            "  jail     required"
          ]
        })
        const named = yield* new TestKm(world).run("create", "profiles/demo.yaml", "--alias", "operator", "--dry-run")
        assert.deepStrictEqual([named.exit, named.err[0]], [
          2,
          "error KM-CLI-001: \"operator\" is the operator's own name"
        ])
        assert.deepStrictEqual(world.snapshot(), new World().snapshot())
      })))

  it.live("with Slack on and no bridge there is nothing to undo", () =>
    inDirectory({}, () =>
      Effect.gen(function*() {
        const world = new World()
        const { err, exit } = yield* new TestKm(world).run("create", "profiles/demo.yaml")
        assert.strictEqual(exit, 1)
        assert.strictEqual(err[0], "error KM-CLI-026: the bridge does not answer")
        assert.deepStrictEqual(world.snapshot(), new World().snapshot())
      })))

  it.live("a real model without a jail is refused by policy, exit 6, unless the risk is accepted", () =>
    inDirectory(
      { "quiet.yaml": mailOnly, "open.yaml": "extends: quiet.yaml\nspec: { network: shared }\n" },
      (directory) =>
        Effect.gen(function*() {
          const fs = yield* FileSystem.FileSystem
          yield* fs.makeDirectory(`${directory}/run`)
          yield* UpFile.write(`${directory}/run`, {
            version: 1,
            supervisor: UpFile.nameOf(process.pid),
            children: [],
            bridgeUrl: "http://127.0.0.1:9",
            modelScripted: false,
            ready: true,
            startedAt: 0
          })
          const world = new World()
          const km = new TestKm(world)
          km.jail = { jails: false, networkStays: "", detail: "bubblewrap is missing", remedy: "install bubblewrap" }
          const refused = yield* km.run("create", `${directory}/quiet.yaml`, "--state", directory)
          assert.deepStrictEqual(refused, {
            exit: 6,
            out: [],
            err: [
              "error KM-CLI-017: the agent would run without a jail",
              "  why:  bubblewrap is missing",
              "  next: install bubblewrap, or accept the risk with --unconfined"
            ]
          })
          km.jail = { jails: true, networkStays: "no network namespaces", detail: "bubblewrap 0.8.0", remedy: "" }
          const cut = yield* km.run("create", `${directory}/quiet.yaml`, "--state", directory)
          assert.strictEqual(cut.exit, 6)
          assert.strictEqual(cut.err[1], "  why:  no network namespaces")
          assert.deepStrictEqual(world.snapshot(), new World().snapshot())
          const open = yield* km.run("create", `${directory}/open.yaml`, "--state", directory)
          assert.strictEqual(open.exit, 0)
          assert.match(
            open.err[0] ?? "",
            /warning KM-PRO-111 spec.network.mode: network shared: the agent reaches what/
          )
          km.jail = { jails: false, networkStays: "", detail: "bubblewrap is missing", remedy: "install bubblewrap" }
          const accepted = yield* km.run("create", `${directory}/quiet.yaml`, "--state", directory, "--unconfined")
          assert.strictEqual(accepted.exit, 0)
          assert.include(accepted.err, "its agent is UNCONFINED: it can read what this machine's user can")
        }).pipe(Effect.provide(NodeServices.layer))
    ))

  it.live("a taken alias is exit 5, a wrong one exit 2", () =>
    inDirectory({ "quiet.yaml": mailOnly }, (directory) =>
      Effect.gen(function*() {
        const km = new TestKm(worldOf(demo))
        const taken = yield* km.run("create", `${directory}/quiet.yaml`, "--alias", "demo")
        assert.strictEqual(taken.exit, 5)
        assert.match(taken.err.join("\n"), /error KM-CLI-101/)
        const wrong = yield* km.run("create", `${directory}/quiet.yaml`, "--alias", "De mo")
        assert.strictEqual(wrong.exit, 2)
        assert.strictEqual(km.world?.rows.size, 1)
      })))
})

describe("km destroy and replay", () => {
  it.effect("destroy needs a yes where nobody can be asked, and a dry run changes nothing", () =>
    Effect.gen(function*() {
      const world = worldOf(demo)
      const km = new TestKm(world)
      km.env = { ...km.env, CI: "true" }
      assert.deepStrictEqual(yield* km.run("destroy", "demo"), {
        exit: 2,
        out: [],
        err: [
          "demo is sb-1a2b3c4d (demo)",
          "error KM-CLI-005: nobody can be asked here",
          "  why:  there is no terminal",
          "  next: Add --yes."
        ]
      })
      const dry = yield* km.run("destroy", "demo", "--dry-run")
      assert.deepStrictEqual(dry.out, ["would destroy sb-1a2b3c4d (demo):", "  threads    sb-1a2b3c4d"])
      assert.isTrue(world.rows.has(demo.id))
      const done = yield* km.run("destroy", "demo", "--yes")
      assert.deepStrictEqual({ exit: done.exit, out: done.out }, { exit: 0, out: ["demo is destroyed"] })
      assert.isFalse(world.rows.has(demo.id))
    }))

  it.effect("a destroy that cannot go on now says how it continues", () =>
    Effect.gen(function*() {
      const world = worldOf({ ...demo, inventory: [{ kind: "channel", ref: "sb-demo", state: "made" }] })
      world.bridgeDown = true
      const { err, exit } = yield* new TestKm(world).run("destroy", "sb-1a2b3c4d", "--yes")
      assert.strictEqual(exit, 1)
      assert.match(err.join("\n"), /error KM-CLI-107: sb-1a2b3c4d: the step "channel" failed/)
      assert.strictEqual(err.at(-1), "  next: then run \"km destroy sb-1a2b3c4d --yes\"; it continues where it stopped")
      assert.isTrue(world.rows.has(demo.id))
    }))

  it.effect("replay runs a parked turn again under the next key, and nothing else", () =>
    Effect.gen(function*() {
      const world = worldOf(demo)
      world.queue.queues.clear()
      const km = new TestKm(world)
      const key = TurnKey.make("T0001:C0DEMO1:1700000001.000001")
      const unknown = yield* km.run("replay", key)
      assert.strictEqual(unknown.exit, 3)
      assert.strictEqual(unknown.err[0], `error KM-CLI-011: no sandbox knows the turn ${key}`)
      const turn: TurnRow = {
        key,
        request: {
          key,
          group: GroupId.make("g"),
          origin: { kind: "operator", label: "test" },
          text: "hello",
          files: [],
          acceptedAt: 0
        },
        state: "settled",
        result: "answered",
        attempt: 1,
        resumed: false,
        shown: [],
        receivedAt: 0
      }
      km.knows(demo.id, turn)
      assert.deepStrictEqual((yield* km.run("replay", key)).exit, 5)
      km.knows(demo.id, { ...turn, result: "parked" })
      const dry = yield* km.run("replay", key, "--dry-run")
      assert.deepStrictEqual(dry.out, [`would run ${key} again in sb-1a2b3c4d (demo) as ${key}~2`])
    }))

  it.effect("replay shows what came of a turn that Slack would not show, and runs nothing", () =>
    Effect.gen(function*() {
      const world = worldOf(demo)
      world.queue.queues.clear()
      const km = new TestKm(world)
      const key = TurnKey.make("T0001:C0DEMO1:1700000001.000001")
      const origin = { kind: "operator", label: "test" } as const
      const turn: TurnRow = {
        key,
        request: { key, group: GroupId.make("g"), origin, text: "hello", files: [], acceptedAt: 0 },
        state: "settled",
        result: "undeliverable",
        attempt: 1,
        resumed: false,
        shown: [],
        receivedAt: 0,
        outcome: { _tag: "Answered", text: "the answer\nof two lines" }
      }
      km.knows(demo.id, turn)
      assert.deepStrictEqual(yield* km.run("replay", key), { exit: 0, out: ["the answer\nof two lines"], err: [] })
      const json = yield* km.run("replay", key, "--json")
      assert.deepInclude(JSON.parse(json.out.join("\n")), { turn: key, how: "shown", text: "the answer\nof two lines" })
      km.knows(demo.id, { ...turn, outcome: { _tag: "Answered", text: "\u200b" } })
      assert.deepStrictEqual((yield* km.run("replay", key)).out, ["The agent finished without a written answer."])
      km.knows(demo.id, { ...turn, outcome: { _tag: "Crashed", detail: "" } })
      assert.match((yield* km.run("replay", key)).out.join(""), /KM-TRN-003/)
    }))
})

describe("km config explain", () => {
  it.live("flags over environment over file over defaults, each with its source", () =>
    inDirectory({ "km.yaml": "install: team\nreadyWithin: 2m\nstate: here\n" }, (directory) =>
      Effect.gen(function*() {
        const km = new TestKm()
        km.env = { HOME: "/home/ada", KM_READY_WITHIN: "30s", KM_UNATTENDED_CERTIFIER: "1" }
        const file = `${directory}/km.yaml`
        const { out } = yield* km.run("config", "explain", "--config", file, "--json", "--state", "/srv/km")
        assert.deepStrictEqual(JSON.parse(out.join("\n")).settings, [
          { key: "state", value: "/srv/km", source: "flag", from: "--state" },
          { key: "install", value: "team", source: "file", from: file },
          { key: "readyWithin", value: "30s", source: "environment", from: "KM_READY_WITHIN" },
          { key: "unconfined", value: "false", source: "default", from: "built in" },
          { key: "unattendedCertifier", value: "true", source: "environment", from: "KM_UNATTENDED_CERTIFIER" },
          { key: "bridge.publicUrl", value: "", source: "default", from: "not set" },
          { key: "bridge.listen", value: "", source: "default", from: "not set" },
          { key: "bridge.trustedProxy", value: "", source: "default", from: "not set" },
          { key: "slackApiUrl", value: "https://slack.com/api/", source: "default", from: "built in" },
          { key: "engine", value: "embedded", source: "default", from: "built in" },
          { key: "aws.region", value: "", source: "default", from: "not set" },
          { key: "aws.accountId", value: "", source: "default", from: "not set" },
          { key: "aws.endpoint", value: "", source: "default", from: "not set" }
        ])
        const relative = yield* km.run("config", "explain", "--config", file, "--json")
        assert.strictEqual(JSON.parse(relative.out.join("\n")).settings[0].value, `${directory}/here`)
        const bare = yield* km.run("config", "explain", "--json")
        assert.strictEqual(JSON.parse(bare.out.join("\n")).settings[0].value, "/home/ada/.local/state/km")
      })))

  it.effect("the state directory is never guessed from the working directory", () =>
    Effect.gen(function*() {
      const km = new TestKm()
      const stateOf = Effect.fnUntraced(function*(env: Record<string, string>, ...flags: ReadonlyArray<string>) {
        km.env = env
        const { err, out } = yield* km.run("config", "explain", "--json", ...flags)
        return err.length > 0 ? err.slice(0, 2) : JSON.parse(out.join("\n")).settings[0].value
      })
      const account = `${userInfo().homedir}/.local/state/km`
      assert.strictEqual(yield* stateOf({}), account)
      assert.strictEqual(yield* stateOf({ HOME: "", KM_STATE: "", XDG_STATE_HOME: "" }), account)
      assert.strictEqual(yield* stateOf({ HOME: ".", XDG_STATE_HOME: "state" }), account)
      assert.strictEqual(yield* stateOf({ HOME: "/h" }, "--state=~/km"), "/h/km")
      assert.deepStrictEqual(yield* stateOf({ HOME: "/h" }, "--state", ""), [
        "error KM-CLI-010: there is no state directory",
        "  why:  --state is empty"
      ])
      assert.deepStrictEqual(yield* stateOf({ HOME: "/h" }, "--config="), [
        "error KM-CLI-010: --config is empty",
        "  why:  a path is missing"
      ])
    }))

  it.live("an unknown key or an unusable value is exit 2 and names its place", () =>
    inDirectory({ "km.yaml": "instal: team\n" }, (directory) =>
      Effect.gen(function*() {
        const km = new TestKm()
        assert.deepStrictEqual(yield* km.run("config", "explain", "--config", `${directory}/km.yaml`), {
          exit: 2,
          out: [],
          err: [
            `error KM-CLI-010: the configuration file ${directory}/km.yaml cannot be used`,
            "  why:  unknown key instal; did you mean install?",
            "  next: `km config explain` says where each value comes from."
          ]
        })
        km.env = { ...km.env, KM_INSTALL: "Not Good" }
        const { err, exit } = yield* km.run("config", "explain")
        assert.deepStrictEqual({ exit, first: err[0] }, {
          exit: 2,
          first: "error KM-CLI-010: KM_INSTALL cannot be used"
        })
      })))
})

describe("km completions", () => {
  it.effect("bash completes commands, schedules, mailboxes and the deliveries of the one that was named", () =>
    Effect.gen(function*() {
      const { out } = yield* new TestKm().run("completions", "bash")
      const asking = (...words: ReadonlyArray<string>) => {
        const program = [
          ...out,
          `km() { case "$*" in`,
          `  "completions names") printf '%s\\n' demo sb-1;;`,
          `  "completions schedules") printf '%s\\n' nightly lunch;;`,
          `  "completions deliveries operator") echo "operator/1";;`,
          `  "completions deliveries demo") echo "sb-1/2";;`,
          `  "completions names --install other") echo "else-where";;`,
          `  "completions names --install=other") echo "else-where";;`,
          `esac; }`,
          `COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _km; printf '%s\\n' "\${COMPREPLY[@]}"`
        ]
        const ran = spawnSync("bash", ["-c", program.join("\n"), "bash", "km", ...words], { encoding: "utf8" })
        return ran.stdout.trim().split("\n")
      }
      assert.deepStrictEqual(asking("at", "run-now", "n"), ["nightly"])
      assert.includeMembers(asking("at", "history", ""), ["nightly", "lunch"])
      assert.deepStrictEqual(asking("email", "list", "o"), ["operator"])
      assert.deepStrictEqual(asking("email", "read", "o"), ["operator", "operator/1"])
      assert.deepStrictEqual(asking("email", "read", "demo", "sb-1/"), ["sb-1/2"])
      assert.deepStrictEqual(asking("status", "d"), ["demo"])
      assert.deepStrictEqual(asking("ema"), ["email"])
      assert.deepStrictEqual(asking("logs", "--part", "mail"), ["mail-in", "mail-out"])
      assert.deepStrictEqual(asking("completions", "f"), ["fish"])
      assert.deepStrictEqual(asking("--install", "other", "status", "e"), ["else-where"])
      assert.deepStrictEqual(asking("--install=other", "status", "e"), ["else-where"])
      assert.deepStrictEqual(asking("status", "--inst"), ["--install"])
    }))

  it("knows what each argument stands for, and each flag that every command has", () => {
    const tree = Completions.fromCommand(root)
    const places = placesOf(tree)
    const asked: Readonly<Record<string, string>> = {
      sandbox: "names",
      schedule: "schedules",
      mailbox: "mailboxes",
      identity: "mailboxes",
      delivery: "deliveries",
      profile: "file",
      file: "file"
    }
    const walk = (command: Completions.CommandDescriptor, path: string): void => {
      command.arguments.forEach(({ name }, index) => {
        const place = places.at.get(`${path}|${index}`)
        if (asked[name] !== undefined) assert.strictEqual(place?.ask ?? place?.files, asked[name], `${path} ${name}`)
      })
      for (const { name } of command.flags) {
        if (!/-file$|^profile$/.test(name)) continue
        assert.strictEqual(places.at.get(`${path}|--${name}`)?.files, "file", `${path} --${name}`)
      }
      for (const child of command.subcommands) walk(child, path === "" ? child.name : `${path} ${child.name}`)
    }
    walk(tree, "")
    for (const flag of ["--state", "--config", "--install", "--log-level"]) assert.include(places.valued, flag)
  })

  it.effect("scripts for three shells name every command; names are live", () =>
    Effect.gen(function*() {
      const km = new TestKm(worldOf(demo, other))
      for (const shell of ["bash", "zsh", "fish"]) {
        const { exit, out } = yield* km.run("completions", shell)
        assert.strictEqual(exit, 0)
        const script = out.join("\n")
        for (const word of ["create", "slack", "explain", "completions", "names"]) assert.include(script, word)
        assert.notMatch(script, /-a workspace |[" ]workspace[" ]?\)|down workspace/)
      }
      assert.deepStrictEqual((yield* km.run("completions", "names")).out, ["demo", "sb-1a2b3c4d", "sb-1affffff"])
      for (const what of ["names", "schedules", "deliveries"]) {
        assert.deepStrictEqual(yield* new TestKm().run("completions", what), { exit: 0, out: [], err: [] })
      }
      for (const name of ["nightly", "lunch"]) {
        assert.strictEqual((yield* km.run("at", "hourly", "stop", "demo", "--name", name, "--yes")).exit, 0)
      }
      assert.deepStrictEqual((yield* km.run("completions", "schedules")).out, ["lunch", "nightly"])
    }))
})
