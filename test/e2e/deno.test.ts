/**
 * Bridge, runtime and hook on Deno, with the permissions that `deno.json` lists and no more: the whole path of a message.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { fileURLToPath } from "node:url"
import { slackProfile } from "../support/profiles.ts"
import { claudeCommand } from "../support/ScriptedModel.ts"
import { botTexts, filesOf, reactionsOf, startStack } from "../support/Stack.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
/** The program itself: npm's own wrapper for it is a Node script. */
const deno = `${root}node_modules/deno/deno`

const Tasks = Schema.fromJsonString(Schema.Struct({
  tasks: Schema.Record(Schema.String, Schema.Struct({ command: Schema.String }))
}))
const { tasks } = Schema.decodeSync(Tasks)(fs.readFileSync(`${root}deno.json`, "utf8"))

/** The task's arguments up to the program's file, as Deno's own shell would hand them on. */
const flagsOf = (task: string, variables: Readonly<Record<string, string>>): ReadonlyArray<string> => {
  const [program, ...words] = (tasks[task]?.command ?? "").split(" ")
  assert.strictEqual(program, "deno")
  const flags = words.slice(0, words.findIndex((word) => word.endsWith("main.ts")))
  return flags.map((flag) => flag.replaceAll(/\$(\w+)/g, (_, name: string) => variables[name] ?? ""))
}

describe("Deno", () => {
  it("gets every permission by name", () => {
    for (const { command } of Object.values(tasks)) assert.notMatch(command, /(^|\s)(-A|--allow-all)(\s|$)/)
    for (const name of ["km-runtime", "km-bridge", "km-hook"]) assert.include(tasks[name]?.command ?? "", "--no-prompt")
  })

  it.live("answers a message with bridge and runtime on it", () =>
    Effect.gen(function*() {
      const stack = yield* startStack({
        // On Deno the sources are what people run.
        bridgeRoot: `${root}bridge/main.ts`,
        runtimeRoot: `${root}runtime/sandbox/main.ts`,
        engine: (program, state) => ({
          command: deno,
          args: flagsOf(`km-${program}`, { KM_STATE: state, KM_CLAUDE: fs.realpathSync(claudeCommand) })
        })
      })
      // Deno cannot take over the sockets of doors.
      const sandbox = yield* stack.sandbox({
        ...slackProfile,
        spec: { ...slackProfile.spec, network: { mode: "shared", allowedHosts: [] } }
      })
      const ts = yield* sandbox.say("please look around and tell me what you see")
      const done = yield* sandbox.untilReaction(ts, "white_check_mark")
      assert.includeMembers([...reactionsOf(done)], ["eyes", "white_check_mark"])
      assert.include(botTexts(done, stack.workspace.botUserId).join("\n"), "I ran one command and wrote")
      const attached = yield* sandbox.untilFiles(ts, (names) => names.length > 0)
      assert.match(filesOf(attached).join(), /\.jsonl\.gz$/)
      assert.notMatch(`${stack.runtime.log()}${stack.bridge.log()}`, /NotCapable|Requires .* access/)
    }))

  it("runs the hook, which says nothing and succeeds when nobody listens", () => {
    const run = spawnSync(deno, [...flagsOf("km-hook", {}), "hooks/main.ts"], {
      cwd: root,
      input: "{}",
      encoding: "utf8",
      env: { HOME: process.env["HOME"], KM_HOOK_URL: "http://127.0.0.1:9/hook", KM_HOOK_TOKEN: "none" }
    })
    assert.strictEqual(run.status, 0, run.stderr)
    assert.strictEqual(run.stdout, "")
    assert.notInclude(run.stderr, "NotCapable")
  })
})
