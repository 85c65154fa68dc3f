/** An agent in its jail behind the proxy, before a registry and GitHub's double: what its programs print of both. */
import { Effect } from "effect"
import { pluginWorld } from "../plugins/github-proxy/pluginWorld.ts"
import { believe, makeRegistry, registryHost } from "./registry.ts"
import { bashScript, runOf } from "./ScriptedModel.ts"

export const clientWorld = Effect.fnUntraced(function*(options: { readonly readOnly?: ReadonlyArray<string> } = {}) {
  const world = yield* pluginWorld()
  world.gitHub.repository("my-org/api")
  const answer = makeRegistry()
  world.gitHub.intercept = (seen, request, response) => {
    if (seen.host !== registryHost) return false
    request.resume()
    return answer(seen, response)
  }
  believe(world.directories.state, world.gitHub.outside.authorities[0] ?? "")
  const contribution = {
    ...world.contribution,
    readOnly: [...world.contribution.readOnly ?? [], ...options.readOnly ?? []]
  }
  /** What a shell of the agent prints, in an empty directory that is gone with the run. */
  const says = (script: string) =>
    Effect.gen(function*() {
      const run = runOf(world.directories, bashScript(`exec 2>&1; cd /tmp\n${script}`), {
        contributions: [contribution]
      })
      const outcome = yield* Effect.flatMap(world.agent.start(run), (process) => process.outcome)
      return outcome._tag === "Answered" ? outcome.text : JSON.stringify(outcome)
    })
  return { ...world, says }
})
