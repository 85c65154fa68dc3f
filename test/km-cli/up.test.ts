import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, FileSystem } from "effect"
import { existsSync, readdirSync } from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { fileURLToPath } from "node:url"
import { childEnvironment } from "../../km-cli/up/Stack.ts"
import * as UpFile from "../../km-cli/up/UpFile.ts"
import { km, kmUp } from "../support/KmProcess.ts"
import { processesNaming } from "../support/processesNaming.ts"
import { bashScript } from "../support/ScriptedModel.ts"
import { untilReal } from "../support/untilReal.ts"

const stateDirectory = Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped({ prefix: "km-up-" }))

/** What a sandbox may leave: nothing of its own in files or tables. Logs, locks and the engine's own files aside. */
const leftovers = (state: string, id: string) => {
  const files = ["sandboxes", "objects", "secrets", "bells"].flatMap((directory) =>
    readdirSync(path.join(state, directory), { recursive: true }).map((name) => `${directory}/${String(name)}`)
  ).filter((name) => name.includes(id))
  const database = new DatabaseSync(path.join(state, "engine.db"), { readOnly: true })
  const tables = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all().map(({ name }) =>
    String(name)
  )
  const rows = tables.flatMap((table) =>
    database.prepare(`SELECT * FROM "${table}"`).all()
      .filter((row) => Object.values(row).some((value) => String(value).includes(id)))
      .map((row) => ({ table, row }))
  )
  database.close()
  return { files, rows }
}

/**
 * Tables that name a sandbox that is gone: its public key for 30 days as a tombstone, the bridge's records of requests
 * for 15 days, for a while the note that tells watchers of the removal, and its last notices until they are told.
 */
const kept = new Set(["identities", "idempotency", "sandbox_changes", "sandbox_facts"])

const demoProfile = fileURLToPath(new URL("../../profiles/demo.yaml", import.meta.url))

const json = (text: string): Record<string, unknown> => JSON.parse(text) as Record<string, unknown>

describe("km up", () => {
  it.live(
    "up, create, chat, a killed supervisor, up again, destroy, down: nothing lost and nothing left",
    () =>
      Effect.gen(function*() {
        const state = yield* stateDirectory
        const first = yield* kmUp(state)
        assert.deepInclude(first.ready, { ok: true, ready: true, install: "km", modelScripted: true, state })
        assert.strictEqual((yield* km(state, ["up"])).exit, 5, "one km up for each state directory")

        const created = yield* km(state, ["create", "profiles/demo.yaml", "--alias", "demo", "--json"])
        assert.strictEqual(created.exit, 0, created.err)
        const { id } = json(created.out)["sandbox"] as { readonly id: string }
        const chat = yield* km(state, ["chat", "demo", "script:text hello", "--json"])
        assert.strictEqual(chat.exit, 0, chat.err)
        const said = json(chat.out)
        assert.deepInclude(said, { ok: true, outcome: "answered", sandbox: id })
        assert.lengthOf(said["files"] as ReadonlyArray<string>, 1)
        const refused = yield* km(state, ["chat", "demo", "script:error:401"])
        assert.strictEqual(refused.exit, 1, refused.err)
        assert.include(refused.err, "KM-CLI-023")
        assert.notInclude(refused.out, "retry", "a status line is not left standing")

        // A second one whose life is over within seconds, whichever supervisor is there to see it.
        const fs = yield* FileSystem.FileSystem
        const profiles = yield* stateDirectory
        const short = path.join(profiles, "short.yaml")
        yield* fs.writeFileString(
          short,
          `extends: ${path.relative(profiles, demoProfile)}\nspec: { lifecycle: { ttl: 5s } }\n`
        )
        const brief = yield* km(state, ["create", short, "--alias", "brief", "--json"])
        assert.strictEqual(brief.exit, 0, brief.err)
        const { id: briefId } = json(brief.out)["sandbox"] as { readonly id: string }

        // Killed, it takes its parts and their agents with it; the next start gives the sandbox a new channel.
        const left = yield* UpFile.read(path.join(state, "run"))
        const children = left._tag === "Some" ? left.value.children : []
        assert.deepStrictEqual(children.map(({ name }) => name).toSorted(), [
          "bridge",
          "control",
          "model",
          "runtime",
          "workspace"
        ])
        const gate = path.join(state, "sandboxes", id, "workspace", "begun")
        const asked = yield* Effect.forkScoped(
          km(state, ["chat", "demo", bashScript("touch begun; while :; do sleep 0.1; done"), "--json"])
        )
        yield* untilReal("the agent's command runs", Effect.sync(() => existsSync(gate)))
        first.child.kill("SIGKILL")
        yield* Effect.promise(() => first.ended)
        yield* Fiber.interrupt(asked)
        yield* untilReal("nothing of it runs", Effect.sync(() => processesNaming(state).length === 0))
        const second = yield* kmUp(state)
        assert.include(second.err(), `${id} (demo) has a new channel`)
        assert.notInclude(second.err(), "an earlier km up left behind")
        const again = yield* km(state, ["chat", "demo", "script:text once more", "--json"])
        assert.strictEqual(again.exit, 0, again.err)
        assert.strictEqual(json(again.out)["outcome"], "answered")

        // A part that dies is started again; what was written meanwhile is answered once it is back.
        const parts = yield* UpFile.read(path.join(state, "run"))
        for (const part of parts._tag === "Some" ? parts.value.children : []) {
          if (["bridge", "control", "runtime"].includes(part.name)) yield* UpFile.signal(part.process, "SIGKILL")
        }
        const after = yield* km(state, ["chat", "demo", "script:text after the crash", "--json"])
        assert.strictEqual(after.exit, 0, after.err)
        assert.include(second.err(), "bridge ended by itself")
        assert.include(second.err(), "runtime ended by itself")
        assert.include(second.err(), "control ended by itself")

        // Looked for until it is gone: the control plane's round comes every 10 s.
        let listed = yield* km(state, ["list", "--json"])
        while (listed.out.includes(briefId)) listed = yield* km(state, ["list", "--json"])
        const gone = leftovers(state, briefId)
        assert.deepStrictEqual(gone.files, [])
        assert.deepStrictEqual(gone.rows.filter(({ table }) => !kept.has(table)), [])

        const doctor = yield* km(state, ["doctor", "--json"])
        assert.strictEqual(doctor.exit, 0, doctor.out)
        assert.strictEqual((yield* km(state, ["slack", "test"])).exit, 0)

        const destroyed = yield* km(state, ["destroy", "demo", "--yes", "--json"])
        assert.strictEqual(destroyed.exit, 0, destroyed.err)
        const { files, rows } = leftovers(state, id)
        assert.deepStrictEqual(files, [])
        assert.deepStrictEqual(rows.filter(({ table }) => !kept.has(table)), [])
        const journal = yield* km(state, ["audit", "--json"])
        const { entries } = json(journal.out) as { readonly entries: ReadonlyArray<Record<string, string>> }
        assert.deepStrictEqual(
          entries.filter(({ verdict }) => verdict === "done").map(({ action, actor, subject }) => [
            actor,
            action,
            subject
          ]),
          [
            ["operator", "sandbox.create", id],
            ["operator", "sandbox.create", briefId],
            ["control-plane", "sandbox.destroy", briefId],
            ["operator", "sandbox.destroy", id]
          ]
        )
        assert.strictEqual((yield* km(state, ["audit", "verify"])).exit, 0)

        const down = yield* km(state, ["down"])
        assert.strictEqual(down.exit, 0, down.err)
        assert.strictEqual(yield* Effect.promise(() => second.ended), 0, "ended as it should be")
        assert.isFalse(readdirSync(path.join(state, "run")).includes("up.json"))
        assert.isFalse(readdirSync(path.join(state, "run")).includes("workspace.json"))

        // Open to others, it is not worked in, and the doctor says what to run.
        yield* fs.chmod(state, 0o755)
        const ill = yield* km(state, ["doctor", "--json"])
        assert.strictEqual(ill.exit, 1)
        assert.include(ill.out, `chmod 700 ${state}`)
        assert.strictEqual((yield* km(state, ["list"])).exit, 1)
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it("a part's environment has what a program needs to be found and no secret of the shell", () => {
    const shell = {
      PATH: "/bin",
      HOME: "/home/ada",
      LC_ALL: "C",
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:4318",
      ANTHROPIC_API_KEY: "sk-ant-canary",
      ANTHROPIC_AUTH_TOKEN: "canary",
      CLAUDE_CODE_OAUTH_TOKEN: "canary",
      AWS_SECRET_ACCESS_KEY: "canary",
      GITHUB_TOKEN: "canary",
      KM_STATE: "/elsewhere",
      NODE_OPTIONS: "--require canary"
    }
    assert.deepStrictEqual(childEnvironment(shell, "/state"), {
      PATH: "/bin",
      HOME: "/home/ada",
      LC_ALL: "C",
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:4318",
      KM_STATE: "/state"
    })
  })
})
