/** What lies in the agent's home is looked for no longer than an honest agent's would take. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { conversations, maxProjects } from "../../../../runtime/adapters/claude/Conversations.ts"
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts"

describe("conversations", () => {
  it.effect("are files with something in them, in any project, however many the agent has made", () =>
    Effect.gen(function*() {
      const home = yield* temporaryDirectory
      assert.deepStrictEqual(conversations(home, "s"), [])
      const projects = Path.join(home, ".claude", "projects")
      const put = (project: string, text: string) => {
        Fs.mkdirSync(Path.join(projects, project), { recursive: true })
        Fs.writeFileSync(Path.join(projects, project, "s.jsonl"), text)
      }
      put("empty", "")
      put("one", "{}\n")
      Fs.mkdirSync(Path.join(projects, "linked"))
      Fs.symlinkSync(Path.join(projects, "one", "s.jsonl"), Path.join(projects, "linked", "s.jsonl"))
      assert.deepStrictEqual(conversations(home, "s"), [Path.join(projects, "one", "s.jsonl")])
      assert.deepStrictEqual(conversations(home, "t"), [])
      for (let n = 0; n <= maxProjects; n++) put(`p${n}`, "{}\n")
      const found = conversations(home, "s")
      assert.isAtMost(found.length, maxProjects)
      assert.isAbove(found.length, maxProjects - 4)
    }))
})
