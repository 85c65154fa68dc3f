import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import { FetchedFiles } from "../../../bridge/actions/FetchedFiles.ts"
import { Download } from "../../../bridge/slack/FileDownload.ts"
import type { FileRefusal } from "../../../runtime/domain/slack/FetchedFile.ts"
import { Objects } from "../../../runtime/ports/Objects.ts"
import { Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { StoreError } from "../../../runtime/ports/StoreError.ts"
import { profileWith } from "../../support/profiles.ts"
import {
  bridgeOverScript,
  channel,
  limited,
  refused,
  requestId,
  scriptedSlack,
  secretsStored,
  threadTs,
  unclear
} from "../scripted.ts"
import { bridgeOver, callsOf, callV2, codeOf, furnish, otherSandbox, rowOf, sandbox } from "../world.ts"
import { scene } from "./scene.ts"

const action = { action: "file.get", channel, ts: threadTs, file: "F1" } as const
const address = "https://files.slack.com/files-pri/T1-F1/download/plan.pdf"
const file = (changes: object = {}) => ({
  ok: true,
  file: {
    id: "F1",
    name: "plan.pdf",
    mimetype: "application/pdf",
    mode: "hosted",
    url_private_download: address,
    channels: [channel],
    ...changes
  }
})
const bytesOf = (changes: Partial<Parameters<typeof Download.Bytes>[0]> = {}) =>
  Download.Bytes({
    type: "application/pdf",
    length: undefined,
    redirected: false,
    bytes: Stream.make(Buffer.from("%PDF-")),
    ...changes
  })
const chatting = profileWith({
  notifySlackEnabled: true,
  notifySlackPerSandbox: true,
  notifySlackInboundEnabled: true,
  slackMaxFileMegabytes: 1
})

interface Scripted {
  readonly answers?: Parameters<typeof scriptedSlack>[0]
  readonly download?: NonNullable<NonNullable<Parameters<typeof bridgeOverScript>[1]>["download"]>
  readonly objects?: Layer.Layer<Objects>
}

/** One `file.get` over a scripted Slack: what it came to, what was stored, what was asked. */
const got = ({ answers = {}, download, objects }: Scripted = {}) => {
  const slack = scriptedSlack({ "files.info": file(), ...answers })
  const opened: Array<string> = []
  return Effect.gen(function*() {
    yield* TestClock.adjust(1_000_000)
    yield* secretsStored
    yield* (yield* Sandboxes).insert(rowOf(sandbox, channel, {}, chatting))
    const fiber = yield* Effect.forkChild(
      Effect.result((yield* FetchedFiles).get({ sender: sandbox, id: requestId }, action))
    )
    for (let second = 0; second < 200 && fiber.pollUnsafe() === undefined; second++) yield* TestClock.adjust("1 second")
    const answer = yield* fiber.pollUnsafe() ?? Effect.die(new Error("it never ends"))
    return {
      fetched: answer._tag === "Success" ? answer.success.fetched : undefined,
      code: answer._tag === "Failure" ? answer.failure.code : undefined,
      stored: yield* (yield* Objects).list(sandbox),
      methods: slack.methods(),
      opened
    }
  }).pipe(Effect.provide(bridgeOverScript(slack, {
    ...(objects === undefined ? {} : { objects }),
    download: (url) => {
      opened.push(url)
      return download?.(url) ?? Effect.succeed(bytesOf())
    }
  })))
}

/** An object store that takes the bytes and then fails so. */
const failing = (reason: StoreError["reason"]) =>
  Layer.succeed(
    Objects,
    Objects.of({
      put: (_owner, _name, bytes) =>
        Effect.andThen(
          Stream.runDrain(bytes),
          Effect.fail(new StoreError({ port: "Objects", operation: "put", reason, detail: "", cause: undefined }))
        ),
      get: () => Stream.die("not asked for"),
      link: () => Effect.die("not asked for"),
      list: () => Effect.succeed([]),
      delete: () => Effect.void,
      deleteAll: () => Effect.void
    })
  )

const whyOf = (json: Readonly<Record<string, unknown>>) => String(Object(json["fetched"]).why)

describe("file.get", () => {
  it.effect("stores the bytes as an object of the sender's", () =>
    Effect.gen(function*() {
      const { fetched, opened, stored } = yield* got()
      assert.deepInclude(fetched, { state: "stored", name: "plan.pdf", mimeType: "application/pdf", size: 5 })
      assert.deepStrictEqual(stored, [`inbox/${threadTs}/F1`])
      assert.deepStrictEqual(opened, [address])
    }))

  const refusals: ReadonlyArray<readonly [what: string, why: FileRefusal, Scripted]> = [
    ["a tombstone", "gone", { answers: { "files.info": file({ mode: "tombstone" }) } }],
    ["a deleted file", "gone", { answers: { "files.info": refused("file_deleted") } }],
    ["a file that never was", "gone", { answers: { "files.info": refused("file_not_found") } }],
    ["a file that Slack keeps from us", "no_access", { answers: { "files.info": refused("access_denied") } }],
    ["a stub that stays one", "no_access", {
      answers: { "files.info": file({ mode: "file_access", file_access: "check_file_info" }) }
    }],
    ["a file beyond the plan's limit", "hidden", { answers: { "files.info": file({ mode: "hidden_by_limit" }) } }],
    ["a canvas", "no_bytes", { answers: { "files.info": file({ mode: "quip" }) } }],
    ["a file without an address", "no_bytes", { answers: { "files.info": file({ url_private_download: null }) } }],
    ["an external file that names no link", "no_bytes", {
      answers: { "files.info": file({ mode: "external", url_private: "javascript:alert(1)" }) }
    }],
    ["a file of another channel", "not_here", { answers: { "files.info": file({ channels: ["C0OTHER0001"] }) } }],
    ["an address that is not Slack's", "foreign_address", { download: () => Effect.succeed(Download.Foreign()) }],
    ["bytes that are gone", "gone", { download: () => Effect.succeed(Download.Refused({ status: 404 })) }],
    ["bytes that are forbidden", "no_access", { download: () => Effect.succeed(Download.Refused({ status: 403 })) }],
    ["the sign-in page in the place of a PDF", "sign_in", {
      download: () => Effect.succeed(bytesOf({ type: "text/html" }))
    }],
    ["the sign-in page in the place of a page", "sign_in", {
      answers: { "files.info": file({ mimetype: "text/html" }) },
      download: () => Effect.succeed(bytesOf({ type: "text/html", redirected: true }))
    }],
    ["more than the sandbox takes, as announced", "too_large", {
      download: () => Effect.succeed(bytesOf({ length: 1024 * 1024 + 1 }))
    }],
    ["more than the sandbox takes, as it turns out", "too_large", {
      download: () =>
        Effect.succeed(bytesOf({ length: 5, bytes: Stream.make(Buffer.alloc(1024 * 1024), Buffer.alloc(1)) }))
    }],
    ["a full disk", "disk_full", { objects: failing("Full") }]
  ]
  for (const [what, why, script] of refusals) {
    it.effect(`says why not: ${what}`, () =>
      Effect.gen(function*() {
        const { fetched, stored } = yield* got(script)
        assert.deepInclude(fetched, { state: "refused", why })
        assert.deepStrictEqual(stored, [])
      }))
  }

  it.effect("takes what is exactly as large as may be, nothing at all, a snippet, and a page that is meant", () =>
    Effect.gen(function*() {
      const full = yield* got({
        download: () => Effect.succeed(bytesOf({ bytes: Stream.make(Buffer.alloc(1024 * 1024)) }))
      })
      assert.deepInclude(full.fetched, { state: "stored", size: 1024 * 1024 })
      const empty = yield* got({ download: () => Effect.succeed(bytesOf({ bytes: Stream.empty })) })
      assert.deepInclude(empty.fetched, { state: "stored", size: 0 })
      const snippet = yield* got({ answers: { "files.info": file({ mode: "snippet", mimetype: "text/plain" }) } })
      assert.deepInclude(snippet.fetched, { state: "stored" })
      const page = yield* got({
        answers: { "files.info": file({ mimetype: "text/html" }) },
        download: () => Effect.succeed(bytesOf({ type: "text/html" }))
      })
      assert.deepInclude(page.fetched, { state: "stored", mimeType: "text/html" })
    }))

  it.effect("gives the link of a file whose bytes are elsewhere", () =>
    Effect.gen(function*() {
      const external = file({ is_external: true, mode: "external", url_private: "https://docs.example.com/d/1" })
      const { fetched, opened } = yield* got({ answers: { "files.info": external } })
      assert.deepStrictEqual(fetched, { state: "elsewhere", name: "plan.pdf", url: "https://docs.example.com/d/1" })
      assert.deepStrictEqual(opened, [])
    }))

  it.effect("waits for a file whose share comes late, and asks the message when it never does", () =>
    Effect.gen(function*() {
      const nowhere = file({ channels: [], shares: {} })
      const late = yield* got({ answers: { "files.info": [nowhere, nowhere, file()] } })
      assert.deepInclude(late.fetched, { state: "stored" })
      assert.strictEqual(late.methods.filter((method) => method === "files.info").length, 3)
      const message = { ts: threadTs, files: [file().file] }
      const never = yield* got({
        answers: { "files.info": nowhere, "conversations.replies": { ok: true, messages: [message] } }
      })
      assert.deepInclude(never.fetched, { state: "stored" })
      const others = yield* got({
        answers: {
          "files.info": nowhere,
          "conversations.replies": { ok: true, messages: [{ ...message, ts: "1600000000.000001" }] }
        }
      })
      assert.deepInclude(others.fetched, { state: "refused", why: "not_here" })
    }))

  it.effect("leaves to the sender what may pass", () =>
    Effect.gen(function*() {
      const codes = yield* Effect.forEach([
        { answers: { "files.info": limited("ratelimited") } },
        { answers: { "files.info": unclear("timeout") } },
        { download: () => Effect.fail(unclear("HTTP 503")) },
        { download: () => Effect.succeed(bytesOf({ bytes: Stream.fail(unclear("the connection broke")) })) },
        { download: () => Effect.never },
        { objects: failing("Unavailable") }
      ], (script: Scripted) => Effect.map(got(script), ({ code }) => code))
      assert.deepStrictEqual(codes, ["rate_limited", ...Array.from({ length: 5 }, () => "unavailable" as const)])
    }))

  it.live("brings what a person dropped, once, to the channel's sandbox alone", () =>
    Effect.gen(function*() {
      const { ada, channel: room, workspace } = yield* scene
      const content = Buffer.from(Array.from({ length: 300_000 }, (_, n) => n % 251))
      yield* Effect.promise(() =>
        ada.filesUploadV2({ channel_id: room, filename: "data.bin", file: content, initial_comment: "look" })
      )
      const [message] = (yield* workspace.messages(room)).filter(({ message: one }) => Array.isArray(one["files"]))
      const shown: ReadonlyArray<{ readonly id: string }> = Object(message?.message["files"])
      const request = { action: "file.get", channel: room, ts: message?.ts, file: shown[0]?.id }
      yield* Effect.gen(function*() {
        yield* furnish(workspace, room)
        const objects = yield* Objects
        const answer = yield* callV2("get-1", request)
        assert.strictEqual(answer.status, 200, JSON.stringify(answer.json))
        const fetched: { readonly object: string; readonly size: number } = Object(answer.json["fetched"])
        assert.strictEqual(fetched.size, content.length)
        const stored = Buffer.concat(yield* Stream.runCollect(objects.get(sandbox, fetched.object)))
        assert.isTrue(stored.equals(content))
        assert.strictEqual((yield* callV2("get-1", request)).json["replayed"], true)
        assert.strictEqual(yield* callsOf(workspace, "files.info"), 1)
        for (const kind of ["sign-in", "redirect", "no-end", "unshared"] as const) {
          yield* workspace.faults.add({
            method: kind === "unshared" ? "files.info" : "download",
            fault: kind === "redirect" ? { kind, to: "http://localhost:9/elsewhere" } : { kind }
          })
        }
        assert.strictEqual(whyOf((yield* callV2("get-2", request)).json), "sign_in")
        assert.strictEqual(whyOf((yield* callV2("get-3", request)).json), "foreign_address")
        assert.strictEqual(codeOf(yield* callV2("get-4", request)), "unavailable")
        assert.strictEqual((yield* callV2("get-4", request)).status, 200)
        yield* (yield* Sandboxes).insert(rowOf(otherSandbox, "C0ELSEWHERE"))
        const foreign = yield* callV2("get-5", { ...request, channel: "C0ELSEWHERE" })
        assert.strictEqual(codeOf(foreign), "forbidden")
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))
})
