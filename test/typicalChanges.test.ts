/** The table of typical changes in the architecture document, held to the tree; and some of them made, to see that it is all. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { TurnKey } from "../runtime/domain/sandbox/Ids.ts"
import type { SandboxRow } from "../runtime/domain/sandbox/Sandbox.ts"
import * as EmbeddedEngine from "../runtime/engines/embedded/EmbeddedEngine.ts"
import type { Agent } from "../runtime/ports/Agent.ts"
import { TurnRecords } from "../runtime/ports/TurnRecords.ts"
import { agentLayer } from "../runtime/sandbox/Agents.ts"
import { ranIn } from "./support/leftOut.ts"
import { profileWith } from "./support/profiles.ts"
import { type Sketch, treeWith } from "./support/sketches.ts"
import { botTexts, makeStack } from "./support/Stack.ts"
import { untilReal } from "./support/untilReal.ts"

const root = fileURLToPath(new URL("..", import.meta.url))

const document = fs.readFileSync(path.join(root, "docs", "architecture.md"), "utf8")
const section = /\n## Ten typical changes\n([\s\S]*?)\n## /.exec(document)?.[1] ?? ""

interface Row {
  readonly change: string
  /** As the document has them, such as `plugins/{id}/`. */
  readonly folders: ReadonlyArray<string>
  /** All of its cells. */
  readonly said: string
}

const rows = section.split("\n").filter((line) => /^\| (?:an?|the) /.test(line)).map((line): Row => {
  const [, change = "", folders = ""] = line.split("|").map((cell) => cell.trim())
  return { change, folders: [...folders.matchAll(/`([^`]+\/)`/g)].map(([, name = ""]) => name), said: line }
})

/** Changes whose folder depends on what is to be told or judged: one of these. */
const oneOf = ["a notice", "a policy rule"]

/** Changes that touch two, and why that is right. */
const two: Readonly<Record<string, string>> = {
  "a bridge action": "two processes that are deployed apart speak it: what both know is not the server's"
}

const sketches: ReadonlyArray<Sketch> = [
  {
    change: "a coding agent",
    folder: "runtime/adapters/echo",
    lines: {
      "runtime/adapters/agents.ts": [["[\"claude\"]", "[\"claude\", \"echo\"]"]],
      "runtime/sandbox/Agents.ts": [
        [
          "import * as ClaudeAgent",
          "import * as EchoAgent from \"../adapters/echo/EchoAgent.ts\"\nimport * as ClaudeAgent"
        ],
        ["  claude: (row) =>", "  echo: () => EchoAgent.layer,\n  claude: (row) =>"]
      ]
    }
  },
  {
    change: "a chat platform",
    folder: "plugins/pager",
    lines: {
      "plugins/index.ts": [
        [
          "const plugins = [",
          "import { PagerPlugin } from \"./pager/PagerPlugin.ts\"\n\nconst plugins = [\n  PagerPlugin,"
        ]
      ]
    }
  },
  {
    change: "a substrate",
    folder: "runtime/substrates/nowhere",
    lines: {
      "runtime/control/main.ts": [["../substrates/process/EmbeddedHost.ts", "../substrates/nowhere/NowhereHost.ts"]],
      "km-cli/main.ts": [[
        "../runtime/substrates/process/EmbeddedHost.ts",
        "../runtime/substrates/nowhere/NowhereHost.ts"
      ]]
    }
  },
  {
    change: "a `km` command",
    folder: "km-cli/commands",
    lines: {
      "km-cli/Km.ts": [
        [
          "const profileFile = ",
          "const ping = Command.make(\"ping\", {}, lazy(() => import(\"./commands/Ping.ts\").then((module) => module.ping)))\n\n" +
          "const profileFile = "
        ],
        ["    init,\n", "    init,\n    ping,\n"]
      ]
    }
  }
]

describe("typical changes", () => {
  it("are ten, each of one folder beside the roots and their lists, or told with its reason", () => {
    assert.deepStrictEqual(rows.map(({ change }) => change), [
      "a coding agent",
      "a chat platform",
      "an engine",
      "a substrate",
      "a plugin",
      "a profile flag",
      "a bridge action",
      "a `km` command",
      "a notice",
      "a policy rule"
    ])
    for (const { change, folders } of rows) {
      if (oneOf.includes(change)) assert.isAbove(folders.length, 1, change)
      else assert.lengthOf(folders, change in two ? 2 : 1, change)
    }
    for (const [change, why] of Object.entries(two)) {
      assert.include(rows.find((row) => row.change === change)?.said ?? "", why, change)
    }
  })

  it("name folders, files and words that are there", () => {
    const missing = rows.flatMap(({ change, folders, said }) => [
      ...folders.flatMap((folder) =>
        fs.existsSync(path.join(root, folder.replace(/\{[^}]+\}\/$/, ""))) ? [] : [`${change}: ${folder}`]
      ),
      ...[...said.matchAll(/`([\w.-]+)` of `([\w./-]+\.ts)`/g)].flatMap(([, word = "", file = ""]) => {
        const place = path.join(root, file)
        const source = fs.existsSync(place) ? fs.readFileSync(place, "utf8") : ""
        return new RegExp(`\\b${word}\\b`).test(source) ? [] : [`${change}: ${word} of ${file}`]
      })
    ])
    assert.deepStrictEqual(missing, [])
    for (const { change, said } of rows) {
      assert.match(said, /`[\w.-]+` of `[\w./-]+\.ts`/, `${change} names no word of a file`)
    }
  })

  it("that are made here are where the table says", () => {
    for (const { change, folder, lines } of sketches) {
      const row = rows.find((one) => one.change === change)
      const [told = ""] = row?.folders ?? []
      assert.isTrue(`${folder}/`.startsWith(told.replace(/\{[^}]+\}\/$/, "")), change)
      for (const file of Object.keys(lines)) assert.include(row?.said ?? "", `\`${file}\``, change)
    }
  })

  it.live("made together, the house type-checks", () =>
    Effect.gen(function*() {
      const tree = yield* treeWith(sketches)
      assert.deepStrictEqual(yield* ranIn(tree, "typescript/bin/tsc", ["-p", "."]), { exit: 0, said: "" })
    }))

  it.effect("a sandbox whose agent this build has not is told so", () =>
    Effect.gen(function*() {
      const profile = profileWith({}, { agent: { kind: "echo" } })
      // Before it asks for anything.
      const layer = agentLayer({ profile } as SandboxRow) as unknown as Layer.Layer<Agent, { readonly message: string }>
      const error = yield* Effect.flip(Layer.build(layer))
      assert.include(error.message, "this build has no agent \"echo\"")
    }))

  it.live("an agent and a chat platform that nobody else knows do their work", () =>
    Effect.gen(function*() {
      const tree = yield* treeWith(sketches.filter(({ change }) => /agent|platform/.test(change)))
      const profile = profileWith({
        notifySlackEnabled: true,
        notifySlackPerSandbox: true,
        notifySlackInboundEnabled: true,
        notifySlackTranscriptEnabled: true
      }, { agent: { kind: "echo" } })
      const stack = yield* makeStack({ runtimeRoot: path.join(tree, "runtime", "sandbox", "main.ts") })
      yield* stack.startBridge
      yield* stack.startRuntime
      const { row, say, thread, untilReaction } = yield* stack.sandbox(profile)
      const ts = yield* say("hello")
      yield* untilReaction(ts, "white_check_mark")
      assert.include(botTexts(yield* thread(ts), stack.workspace.botUserId).join("\n"), "echo of hello")
      const record = yield* untilReal(
        "the pager's turn is over",
        Effect.gen(function*() {
          return Option.getOrUndefined(yield* (yield* TurnRecords).get(row.id, TurnKey.make("pager:17")))
        }).pipe(Effect.provide(EmbeddedEngine.layer(stack.state)), Effect.orDie)
      )
      assert.deepInclude(record, { result: "answered", origin: { kind: "pager", label: "Grace" } })
      const noted = fs.readFileSync(path.join(stack.state, "sandboxes", row.id, "pager.txt"), "utf8")
      assert.strictEqual(noted, "Grace 17: echo of ring ring\n")
    }))
})
