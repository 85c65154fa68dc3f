import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { answeredSettings, answerFirstRun } from "../../../../runtime/adapters/claude/FirstRun.ts"
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts"

const answer = { key: "km-0123456789-0123456789-0123456789", workspace: "/w" }
const read = (home: string): unknown => JSON.parse(Fs.readFileSync(Path.join(home, ".claude.json"), "utf8"))
const answers = {
  theme: "dark",
  hasCompletedOnboarding: true,
  customApiKeyResponses: { approved: [answer.key.slice(-20)], rejected: [] },
  projects: { "/w": { hasTrustDialogAccepted: true } }
}

describe("what the CLI asks at its first start", () => {
  it.effect("is answered, and what the CLI keeps beside it stays", () =>
    Effect.gen(function*() {
      const home = yield* temporaryDirectory
      answerFirstRun(home, answer)
      assert.deepStrictEqual(read(home), answers)
      Fs.writeFileSync(
        Path.join(home, ".claude.json"),
        JSON.stringify({ theme: "light", numStartups: 3, projects: { "/w": { lastCost: 1 }, "/v": { lastCost: 2 } } })
      )
      answerFirstRun(home, answer)
      assert.deepStrictEqual(read(home), {
        ...answers,
        theme: "light",
        numStartups: 3,
        projects: { "/w": { lastCost: 1, hasTrustDialogAccepted: true }, "/v": { lastCost: 2 } }
      })
    }))

  it.effect("is written into the agent's home alone, whatever the agent has put there", () =>
    Effect.gen(function*() {
      const home = yield* temporaryDirectory
      const elsewhere = yield* temporaryDirectory
      const secret = Path.join(elsewhere, "secret.json")
      Fs.writeFileSync(secret, "{\"token\":\"of the operator\"}")
      const file = Path.join(home, ".claude.json")
      const plant = {
        "a link to a file of ours": () => Fs.symlinkSync(secret, file),
        "no JSON": () => Fs.writeFileSync(file, "{\"theme\":"),
        "a list": () => Fs.writeFileSync(file, "[1]")
      }
      for (const [name, put] of Object.entries(plant)) {
        Fs.rmSync(file, { force: true })
        put()
        answerFirstRun(home, answer)
        assert.isTrue(Fs.lstatSync(file).isFile(), name)
        assert.notInclude(Fs.readFileSync(file, "utf8"), "operator", name)
        assert.strictEqual(Fs.readFileSync(secret, "utf8"), "{\"token\":\"of the operator\"}", name)
      }
      assert.deepStrictEqual(Fs.readdirSync(home), [".claude.json"])
      // What cannot be taken away by one call is left, and nothing of ours with it.
      Fs.rmSync(file)
      Fs.mkdirSync(Path.join(file, "tree"), { recursive: true })
      assert.throws(() => answerFirstRun(home, answer))
      assert.deepStrictEqual(Fs.readdirSync(home), [".claude.json"])
    }))

  it("is not answered for a profile that has the agent ask", () => {
    const policy = { model: "default", trustRepoSettings: false }
    assert.deepStrictEqual(answeredSettings({ ...policy, permissions: "default" }), {})
    assert.deepStrictEqual(answeredSettings({ ...policy, permissions: "bypass" }), {
      skipDangerousModePermissionPrompt: true
    })
  })
})
