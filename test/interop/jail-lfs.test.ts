/** git-lfs in the jail: objects go to and come from where an allowed answer says, by the proxy. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import type { IncomingMessage, ServerResponse } from "node:http"
import type { SeenRequest } from "../plugins/github-proxy/gitHub.ts"
import { clientWorld } from "../support/clientWorld.ts"

const store = "https://github-cloud.githubusercontent.com"
const Batch = Schema.fromJsonString(Schema.Struct({
  operation: Schema.Literals(["upload", "download"]),
  objects: Schema.Array(Schema.Struct({ oid: Schema.String, size: Schema.Int }))
}))
const decodeBatch = Schema.decodeSync(Batch)

/** As git-lfs takes it. */
const answer = (response: ServerResponse, body: unknown) => {
  response.writeHead(200, { "content-type": "application/vnd.git-lfs+json" })
  response.end(JSON.stringify(body))
}

/** An LFS server of one repository, and the store that it names. */
const lfsServer = () => {
  const objects = new Map<string, Buffer>()
  const intercept = ({ host, method, url }: SeenRequest, request: IncomingMessage, response: ServerResponse) => {
    const isStore = host === new URL(store).hostname
    if (!isStore && !url.startsWith("/my-org/api.git/info/lfs/")) return false
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk)).on("end", () => {
      const body = Buffer.concat(chunks)
      const oid = url.slice(1).split("?", 1)[0] ?? ""
      if (isStore && method === "PUT") {
        objects.set(oid, body)
        return void response.end()
      }
      if (isStore) return void response.end(objects.get(oid) ?? "")
      if (url.endsWith("/locks/verify")) return answer(response, { ours: [], theirs: [] })
      const batch = decodeBatch(body.toString())
      answer(response, {
        transfer: "basic",
        objects: batch.objects.map(({ oid: id, size }) => ({
          oid: id,
          size,
          authenticated: true,
          actions: { [batch.operation]: { href: `${store}/${id}?X-Amz-Signature=signed`, expires_in: 300 } }
        }))
      })
    })
    return true
  }
  return { objects, intercept }
}

describe("git-lfs in the jail", () => {
  it.live("pushes large files with an allowed branch and has them again; a refused branch takes none", () =>
    Effect.gen(function*() {
      const world = yield* clientWorld()
      const server = lfsServer()
      world.gitHub.intercept = server.intercept
      const said = yield* world.says(`
        export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@a GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@a
        git lfs install > /dev/null && git clone -q https://github.com/my-org/api.git && cd api
        git lfs track '*.bin' > /dev/null && echo 'a large file' > large.bin && git add . && git commit -q -m large
        git push -q origin HEAD:refs/heads/main || echo refused
        git push -q origin HEAD:refs/heads/feature/lfs && echo pushed
        cd .. && git clone -q -b feature/lfs https://github.com/my-org/api.git again && cat again/large.bin`)
      assert.match(said, /refused\n[^]*pushed\na large file/)
      assert.include(said, "km: refused: refs/heads/main may not be moved; allowed are: feature/*")
      assert.deepStrictEqual([...server.objects.values()].map(String), ["a large file\n"])
      const toStore = world.gitHub.requests.filter(({ host }) => host === new URL(store).hostname)
      assert.deepStrictEqual(toStore.map(({ headers, method }) => [method, headers.authorization]), [
        ["PUT", undefined],
        ["GET", undefined]
      ])
    }))
})
