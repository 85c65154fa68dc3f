import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Path } from "effect"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { findingLine, readProfile } from "../../profiles/ProfileFile.ts"
import { profileJsonSchema } from "../../profiles/ProfileJsonSchema.ts"
import { agentKinds } from "../../runtime/adapters/agents.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** Writes the files into a directory of their own and says what reading the first one finds, without the directory. */
const lines = Effect.fn(function*(files: Record<string, string>, owner: (channel: string) => string | undefined) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const directory = yield* fs.makeTempDirectoryScoped()
  for (const [name, text] of Object.entries(files)) yield* fs.writeFileString(path.join(directory, name), text)
  const report = yield* readProfile(path.join(directory, Object.keys(files)[0] ?? ""), {
    agents: agentKinds,
    ownerOfChannel: owner
  })
  return {
    profile: report.profile,
    lines: report.findings.map((found) => findingLine(found).replaceAll(`${directory}/`, ""))
  }
})

const nobody = () => undefined
const head = "apiVersion: klankermaker.ai/v1\nkind: SandboxProfile\nmetadata: { name: demo }\n"

describe("ProfileFile", () => {
  it.live("the demo profile has every Slack flag on and no finding", () =>
    Effect.gen(function*() {
      const report = yield* readProfile(`${root}profiles/demo.yaml`, { agents: agentKinds, ownerOfChannel: nobody })
      assert.deepStrictEqual(report.findings, [])
      const cli = report.profile?.spec.cli
      assert.deepInclude(cli, {
        notifySlackEnabled: true,
        notifySlackPerSandbox: true,
        notifySlackInboundEnabled: true,
        notifySlackTranscriptEnabled: true
      })
    }).pipe(Effect.provide(NodeServices.layer)))

  it.live("a child that adds a key to its parent's bare word leaves the agent without a network", () =>
    Effect.gen(function*() {
      const found = yield* lines({
        "a.yaml": "extends: base.yaml\nspec: { network: { allowedHosts: { add: [a.example] } } }\n",
        "base.yaml": `${head}spec:\n  network: none\n`
      }, nobody)
      assert.strictEqual(found.profile?.spec.network.mode, "none")
      assert.match(found.lines.join("\n"), /^a.yaml:2:\d+ warning KM-PRO-108 spec.network.allowedHosts: /)
      const wrong = yield* lines({ "a.yaml": `${head}spec:\n  network: nothing\n` }, nobody)
      assert.match(wrong.lines.join("\n"), /^a.yaml:5:3 error KM-PRO-005 spec.network.mode: .*found "nothing"$/)
    }).pipe(Effect.provide(NodeServices.layer)))

  it("profiles/profile.schema.json is what the schema says (node km-cli/build/profileSchema.ts writes it)", () => {
    assert.strictEqual(readFileSync(`${root}profiles/profile.schema.json`, "utf8"), profileJsonSchema(agentKinds))
  })

  it.live("every fault of a file at once, each with its line, path and remedy", () =>
    Effect.gen(function*() {
      const found = yield* lines({
        "a.yaml": `apiVersion: klankermaker.ai/v2
kind: SandboxProfile
metadata: { name: Demo, colour: red }
notifySlackEnabled: true
spec:
  agent: { turnTimeout: 5y, kind: codex }
  lifecycle:
  cli:
    notifySlackEnable: true
    slackMaxConcurrentThreads: 99
    notifySlackInboundAllow: [U012AB3CD, nobody]
    notifyOnPermission: "yes"
`
      }, nobody)
      assert.isUndefined(found.profile)
      assert.deepStrictEqual(found.lines, [
        "a.yaml:4:1 error KM-PRO-003 notifySlackEnabled: unknown key here; it belongs at spec.cli.notifySlackEnabled",
        "a.yaml:1:1 error KM-PRO-005 apiVersion: expected \"klankermaker.ai/v1\", found \"klankermaker.ai/v2\"",
        "a.yaml:3:25 error KM-PRO-003 metadata.colour: unknown key; did you mean metadata.name?",
        "a.yaml:3:13 error KM-PRO-005 metadata.name: expected a name of a-z, 0-9 and -, starting with a letter, at most 40 characters, found \"Demo\"",
        "a.yaml:6:29 error KM-PRO-005 spec.agent.kind: expected \"claude\", found \"codex\"",
        "a.yaml:6:12 error KM-PRO-005 spec.agent.turnTimeout: expected a duration such as 30s, 15m, 8h or 2d, found \"5y\"",
        "a.yaml:7:3 error KM-PRO-005 spec.lifecycle: expected object, found null",
        "a.yaml:9:5 error KM-PRO-003 spec.cli.notifySlackEnable: unknown key; did you mean spec.cli.notifySlackEnabled?",
        "a.yaml:11:42 error KM-PRO-005 spec.cli.notifySlackInboundAllow[1]: expected a Slack user id such as U012AB3CD, found \"nobody\"",
        "a.yaml:12:5 error KM-PRO-005 spec.cli.notifyOnPermission: expected boolean, found \"yes\"",
        "a.yaml:10:5 error KM-PRO-005 spec.cli.slackMaxConcurrentThreads: expected a value between 1 and 16, found 99"
      ])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.live("a fault stands in the file that wrote it, a missing key in the file that was asked for", () =>
    Effect.gen(function*() {
      const found = yield* lines({
        "child.yaml": "extends: [base.yaml, more.yaml]\nkind: SandboxProfile\nmetadata:\n  description: x\n",
        "base.yaml": `${head}spec:\n  cli:\n    notifySlackEnabld: true\n`,
        "more.yaml": "metadata: { name: 7 }\n"
      }, nobody)
      assert.deepStrictEqual(found.lines, [
        "more.yaml:1:13 error KM-PRO-005 metadata.name: expected string, found 7",
        "base.yaml:6:5 error KM-PRO-003 spec.cli.notifySlackEnabld: unknown key; did you mean spec.cli.notifySlackEnabled?"
      ])
      const missing = yield* lines({ "a.yaml": "kind: SandboxProfile\nmetadata: {}\n" }, nobody)
      assert.deepStrictEqual(missing.lines, [
        "a.yaml:1:1 error KM-PRO-004 apiVersion: this key is required",
        "a.yaml:2:1 error KM-PRO-004 metadata.name: this key is required"
      ])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.live("maps merge, a child's scalar wins, its list replaces or adds", () =>
    Effect.gen(function*() {
      const found = yield* lines({
        "child.yaml":
          "extends: base.yaml\nspec:\n  lifecycle: { ttl: 2d }\n  sourceAccess:\n    github:\n      allowedRepos: [my-org/web]\n      allowedRefs: { add: [\"fix/*\", main] }\n",
        "base.yaml":
          `${head}spec:\n  lifecycle: { ttl: 1h, idleTimeout: 5m }\n  sourceAccess: { mode: allowlist, github: { allowedRepos: [my-org/api], allowedRefs: [main] } }\n`
      }, nobody)
      assert.deepStrictEqual(found.lines, [])
      assert.deepStrictEqual(found.profile?.spec.lifecycle, { ttl: "2d", idleTimeout: "5m" })
      assert.deepStrictEqual(found.profile?.spec.sourceAccess, {
        mode: "allowlist",
        github: {
          allowedRepos: ["my-org/web"],
          allowedRefs: ["main", "fix/*"],
          allowDelete: false,
          allowForce: false,
          publicRead: [],
          capabilities: []
        }
      })
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.live("circles, missing parents, long chains and wrong extends are errors at their line", () =>
    Effect.gen(function*() {
      const circle = yield* lines({ "a.yaml": "extends: b.yaml\n", "b.yaml": "kind: x\nextends: a.yaml\n" }, nobody)
      assert.deepStrictEqual(circle.lines, ["b.yaml:2:1 error KM-PRO-007 extends: a.yaml extends itself"])
      const missing = yield* lines({ "a.yaml": "kind: x\nextends: nowhere.yaml\n" }, nobody)
      assert.deepStrictEqual(missing.lines, [
        "a.yaml:2:1 error KM-PRO-006 extends: there is no readable file nowhere.yaml"
      ])
      const wrong = yield* lines({ "a.yaml": "extends: 7\n" }, nobody)
      assert.deepStrictEqual(wrong.lines, ["a.yaml:1:1 error KM-PRO-005 extends: expected a path or a list of paths"])
      const chain = yield* lines(
        Object.fromEntries(Array.from({ length: 12 }, (_, n) => [`${n}.yaml`, `extends: ${n + 1}.yaml\n`])),
        nobody
      )
      assert.deepStrictEqual(chain.lines, [
        "9.yaml:1:1 error KM-PRO-008 extends: more than 10 profiles extend each other"
      ])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.live("what is no YAML, or not usable as such, is an error at its line", () =>
    Effect.gen(function*() {
      const none = yield* readProfile(`${root}profiles/none.yaml`, { agents: agentKinds, ownerOfChannel: nobody })
      assert.deepStrictEqual(none.findings.map(({ code }) => code), ["KM-PRO-001"])
      const twice = yield* lines({ "a.yaml": `${head}spec: {}\nkind: SandboxProfile\n` }, nobody)
      assert.deepStrictEqual(twice.lines, ["a.yaml:5:1 error KM-PRO-002 not valid YAML: Map keys must be unique"])
      const open = yield* lines({ "a.yaml": "kind: [\n" }, nobody)
      assert.deepStrictEqual(open.lines.map((line) => line.slice(0, 30)), ["a.yaml:2:1 error KM-PRO-002 no"])
      const list = yield* lines({ "a.yaml": "- kind\n" }, nobody)
      assert.deepStrictEqual(list.lines, ["a.yaml:1:1 error KM-PRO-005 expected object, found [\"kind\"]"])
      const proto = yield* lines({ "a.yaml": `${head}__proto__: { a: 1 }\n` }, nobody)
      assert.deepStrictEqual(proto.lines.map((line) => line.slice(0, 38)), ["a.yaml:4:1 error KM-PRO-003 __proto__:"])
      const large = yield* lines({ "a.yaml": `# ${"x".repeat(300_000)}\n` }, nobody)
      assert.deepStrictEqual(large.lines, ["a.yaml error KM-PRO-002 larger than 256 KiB"])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.live("rules know which keys were written and who owns a channel", () =>
    Effect.gen(function*() {
      const found = yield* lines({
        "a.yaml":
          `${head}spec:\n  cli:\n    notifySlackEnabled: true\n    notifySlackChannelOverride: C0123\n    slackArchiveOnDestroy: true\n`
      }, (channel) => channel === "C0123" ? "sb-1" : undefined)
      assert.deepStrictEqual(found.lines, [
        "a.yaml:7:5 error KM-PRO-018 spec.cli.notifySlackChannelOverride: C0123 is the own channel of sandbox sb-1; choose a channel no sandbox owns",
        "a.yaml:8:5 warning KM-PRO-102 spec.cli.slackArchiveOnDestroy: has no effect without notifySlackPerSandbox; only a sandbox's own channel is archived"
      ])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
})
