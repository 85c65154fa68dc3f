/** What an operator waits for at the set-up: `km slack init` as people run it, by Socket Mode, and how much there is to type. */
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { km } from "../support/KmProcess.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { testWorkspace } from "../support/Workspace.ts"
import { type BenchRow, meets, percentile } from "./BenchRow.ts"

const setUps = 5

/** From the command to its prompt again, the tokens in the environment: nobody types. */
const setUp = Effect.gen(function*() {
  const state = path.join(yield* temporaryDirectory, "state")
  const workspace = yield* testWorkspace({ sockets: { enabled: true }, limits: {} })
  const env = {
    KM_SLACK_API_URL: workspace.apiUrl,
    KM_SLACK_BOT_TOKEN: workspace.botToken,
    KM_SLACK_APP_TOKEN: workspace.appToken
  }
  yield* Effect.addFinalizer(() => km(state, ["down"]))
  const begun = performance.now()
  const init = yield* km(state, ["slack", "init", "--invite-email", "ada@lab.test"], env)
  const millis = performance.now() - begun
  if (init.exit !== 0) return yield* Effect.die(new Error(init.err))
  return millis
}).pipe(Effect.scoped)

/** The commands of the page from nothing to a sandbox; `test` and `status` are looks. */
const commandsOfThePage = (): number => {
  const page = fs.readFileSync(fileURLToPath(new URL("../../docs/slack-notifications.md", import.meta.url)), "utf8")
  const part = /\n## By Socket Mode\n([\s\S]*?)\n## /.exec(page)?.[1] ?? ""
  return [...part.matchAll(/^km (?!slack (?:test|status))/gm)].length
}

export const run = async (): Promise<ReadonlyArray<BenchRow>> => {
  const inits: Array<number> = []
  for (let n = 0; n < setUps; n++) inits.push(await Effect.runPromise(setUp))
  const commands = commandsOfThePage()
  const slowest = Math.max(...inits)
  return [
    {
      area: "slack",
      name: "commands of the page from an installed km to a sandbox, Socket Mode",
      unit: "count",
      value: commands,
      target: "<= 3",
      ok: meets(commands, "<= 3")
    },
    {
      area: "slack",
      name: "km slack init to ready, nobody typing, slowest",
      unit: "ms",
      value: slowest,
      p50: percentile(inits, 50),
      p99: percentile(inits, 99),
      target: "<= 15000",
      ok: meets(slowest, "<= 15000")
    }
  ]
}
