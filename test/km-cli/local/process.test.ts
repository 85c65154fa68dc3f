import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { FetchHttpClient } from "effect/http"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { readCredentials } from "../../../km-cli/local/workspace/Credentials.ts"
import { isJson, parseJson, textOf } from "../../../km-cli/local/workspace/Json.ts"
import { connect } from "../../../km-cli/local/workspace/WorkspaceClient.ts"
import { bundled } from "../../support/bundled.ts"
import { cast, startReceiver } from "../../support/Workspace.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "km-workspace-"))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
)

/** Starts the process, hands it its options, and waits for its line. */
const launch = Effect.fnUntraced(function*(options: object) {
  const directory = yield* folder
  const credentialsFile = path.join(directory, "workspace.json")
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, [bundled("km.mjs"), "workspace", "--credentials", credentialsFile], {
        stdio: ["pipe", "pipe", "pipe"]
      })
    ),
    (running) => Effect.sync(() => running.kill("SIGKILL"))
  )
  const exited = new Promise<number | null>((resolve) => child.once("exit", resolve))
  child.stdin.write(`${JSON.stringify(options)}\n`)
  const line = yield* Effect.promise(() =>
    new Promise<string>((resolve, reject) => {
      let out = ""
      let complaints = ""
      child.stderr.on("data", (chunk) => {
        complaints += String(chunk)
      })
      child.stdout.on("data", (chunk) => {
        out += String(chunk)
        if (out.includes("\n")) resolve(out.slice(0, out.indexOf("\n")))
      })
      child.once("exit", () => reject(new Error(complaints)))
    })
  )
  return { child, credentialsFile, exited, line }
})

describe("a workspace in a process of its own", () => {
  it.live("tells its address, keeps its tokens in a private file, is driven from outside, and ends with its parent", () =>
    Effect.gen(function*() {
      const { child, credentialsFile, exited, line } = yield* launch({ users: cast, limits: { tiers: false } })
      const ready = parseJson(line)
      const credentials = yield* readCredentials(credentialsFile)
      assert.isTrue(isJson(ready) && textOf(ready, "url") === credentials.url)
      for (const secret of [credentials.botToken, credentials.signingSecret, credentials.controlToken]) {
        assert.notInclude(line, secret)
      }
      assert.strictEqual(fs.statSync(credentialsFile).mode & 0o777, 0o600)

      const client = yield* connect(credentials)
      const receiver = yield* startReceiver(credentials.signingSecret)
      yield* client.setEventsUrl(receiver.url)
      const refused = yield* Effect.flip(client.setEventsUrl("http://127.0.0.1:1/"))
      assert.include(refused.message, "url_verification")
      const ada = credentials.people["ada"]?.token ?? ""
      yield* client.slack(ada, "conversations.create", { name: "sb-process" })
      const seen = yield* client.watch({ kinds: ["message"], after: 0 }).pipe(
        Stream.take(1),
        Stream.runCollect,
        Effect.forkChild
      )
      const posted = yield* client.slack(ada, "chat.postMessage", { channel: "#sb-process", text: "hello" })
      const changes = yield* Fiber.join(seen)
      assert.strictEqual(changes[0]?.ts, posted["ts"])
      const messages = yield* client.messages("sb-process")
      assert.deepStrictEqual(messages.map(({ message }) => message["text"]), ["hello"])
      const thread = yield* client.thread("sb-process", String(posted["ts"]))
      assert.strictEqual(thread.replies.length, 0)
      yield* client.addFault({ method: "auth.test", fault: { kind: "refuse", error: "token_expired" } })
      const failure = yield* Effect.flip(client.slack(ada, "auth.test", {}))
      assert.include(failure.message, "token_expired")
      const calls = yield* client.calls({ method: "chat.postMessage" })
      assert.strictEqual(calls.length, 1)
      const state = yield* client.state
      assert.strictEqual(state.eventsUrl, receiver.url)

      child.stdin.end()
      assert.strictEqual(yield* Effect.promise(() => exited), 0)
      assert.isFalse(fs.existsSync(credentialsFile))
    }).pipe(Effect.provide([NodeServices.layer, FetchHttpClient.layer])))

  it.live("takes its tokens away when it is told to end", () =>
    Effect.gen(function*() {
      const { child, credentialsFile, exited, line } = yield* launch({ users: cast })
      const ready = parseJson(line)
      const url = isJson(ready) ? textOf(ready, "url") ?? "" : ""
      child.kill("SIGTERM")
      yield* Effect.promise(() => exited)
      assert.isFalse(fs.existsSync(credentialsFile))
      assert.strictEqual(yield* Effect.promise(() => fetch(url).then(() => "answered", () => "gone")), "gone")
    }))

  it.live("refuses options it does not understand, and says which", () =>
    Effect.gen(function*() {
      const failure = yield* launch({ users: 1 }).pipe(Effect.catchDefect((defect) => Effect.succeed(String(defect))))
      assert.include(failure, "users")
    }))
})
