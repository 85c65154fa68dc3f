/** The GitHub of the proxy's benches, in a process of its own. Says its port, its authority and where the repository lies. */
import { Effect } from "effect"
import { gitHubDouble } from "../plugins/github-proxy/gitHub.ts"

/** Takes every push for good and forgets it. */
const gitHub = Effect.gen(function*() {
  const double = yield* gitHubDouble
  const bare = double.repository("my-org/api")
  double.intercept = (seen, request, response) => {
    if (seen.method !== "POST" || !seen.url.endsWith("git-receive-pack")) return false
    request.resume()
    request.once("end", () => {
      response.writeHead(200, { "content-type": "application/x-git-receive-pack-result" })
      response.end("000eunpack ok\n001dok refs/heads/feature/x\n0000")
    })
    return true
  }
  process.send?.({ port: double.port, authority: double.outside.authorities[0], bare })
  return yield* Effect.never
})

process.on("disconnect", () => process.exit(0))
await Effect.runPromise(Effect.scoped(gitHub))
