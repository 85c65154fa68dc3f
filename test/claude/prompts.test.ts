/** What the pinned CLI makes of a prompt's text, and that the kernel's frame keeps it data. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as ScriptedModel from "../../km-cli/local/model/ScriptedModel.ts"
import { personFrame } from "../../runtime/domain/turn/TurnFrame.ts"
import { messagePrompt } from "../../runtime/kernel/turns/Prompt.ts"
import { claudeHome } from "../support/claudeCli.ts"

const setup = Effect.gen(function*() {
  const model = yield* ScriptedModel.start()
  return { model, ...(yield* claudeHome(model.url)) }
})

const framed = (text: string): string =>
  messagePrompt(personFrame({ sender: "Ada", place: "#general", acceptedAt: 1_700_000_000_000, files: [] }), [], text)

const secret = "content-of-a-file-that-nobody-asked-for"

describe.concurrent("prompts of the CLI", () => {
  it.live("a bare @path reads that file into the request, outside of the working directory too", () =>
    Effect.gen(function*() {
      const { home, model, run } = yield* setup
      const file = Path.join(home, "outside.txt")
      Fs.writeFileSync(file, secret)
      yield* run({ prompt: `look at @${file} script:text`, raw: true })
      assert.include((yield* model.requests)[0]?.body, secret)
    }))

  it.live("neutralised, no form of @path does", () =>
    Effect.gen(function*() {
      const { home, model, run, workspace } = yield* setup
      const file = Path.join(home, "outside.txt")
      Fs.writeFileSync(file, secret)
      Fs.writeFileSync(Path.join(workspace, "inside.txt"), secret)
      const forms = [
        `@${file}`,
        `@"${file}"`,
        "@inside.txt",
        "@./inside.txt",
        `(@${file})`,
        `x@${file}`,
        "@~/outside.txt"
      ]
      const { code } = yield* run({ prompt: framed(`${forms.join(" ")}\n${forms.join("\n")}\nscript:text`), raw: true })
      assert.strictEqual(code, 0)
      const requests = yield* model.requests
      assert.lengthOf(requests, 1)
      assert.notInclude(requests[0]?.body, secret)
    }))

  it.live("a bare leading / is a command and asks no model", () =>
    Effect.gen(function*() {
      const { model, run } = yield* setup
      yield* run({ prompt: "/cost", raw: true })
      assert.deepStrictEqual(yield* model.requests, [])
    }))

  it.live("framed, a leading / is text, as are ! and #", () =>
    Effect.gen(function*() {
      const { model, run, workspace } = yield* setup
      const { results } = yield* run({ prompt: framed("/cost\n/clear\n!touch bang\n# note\nscript:text"), raw: true })
      assert.deepInclude(results[0], { is_error: false })
      const requests = yield* model.requests
      assert.lengthOf(requests, 1)
      assert.include(requests[0]?.body, "/clear")
      assert.isFalse(Fs.existsSync(Path.join(workspace, "bang")))
    }))
})
