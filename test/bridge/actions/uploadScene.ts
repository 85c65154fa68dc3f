/** One upload over a scripted Slack: what it asked, what it sent, what it answered. */
import { Effect, type Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Uploads } from "../../../bridge/actions/Uploads.ts"
import type { UploadAction } from "../../../runtime/domain/slack/BridgeProtocol.ts"
import { linkKeyPath } from "../../../runtime/domain/slack/FileLinks.ts"
import { sha256Hex } from "../../../runtime/domain/text/Digest.ts"
import type { MemoryFactsState } from "../../../runtime/ports/memory/MemoryFacts.ts"
import { Objects } from "../../../runtime/ports/Objects.ts"
import { Secrets } from "../../../runtime/ports/Secrets.ts"
import { botUser, bridgeOverScript, channel, requestId, scriptedSlack, secretsStored, threadTs } from "../scripted.ts"
import { sandbox } from "../world.ts"

export const bytes = Buffer.from("a session".repeat(100))
export const object = "sessions/s1.jsonl.gz"
export const base: typeof UploadAction.Type = {
  action: "upload",
  channel,
  threadTs,
  object,
  filename: "s1.jsonl.gz",
  title: "Session s1",
  contentType: "application/gzip",
  size: bytes.length,
  sha256: sha256Hex(bytes)
}
export const shares = (
  ts: string,
  thread: string | null = threadTs,
  kind: "public" | "private" = "public",
  where: string = channel
) => ({
  [kind]: { [where]: [{ ts, ...(thread === null ? {} : { thread_ts: thread }) }] }
})
export const ticket = { ok: true, upload_url: "http://slack.test/up", file_id: "F1" }
export const completed = (changes: object = {}) => ({
  ok: true,
  files: [{ id: "F1", permalink: "https://a.test/F1", shares: shares("1700000002.000001"), ...changes }]
})
export const info = (changes: object = {}) => ({
  ok: true,
  file: { id: "F0", user: botUser, channels: [channel], shares: shares("1700000002.000009"), ...changes }
})

export interface Options {
  readonly uncertainSince?: number
  readonly objects?: Layer.Layer<Objects>
  readonly transfer?: NonNullable<Parameters<typeof bridgeOverScript>[1]>["transfer"]
  readonly sender?: "operator"
  readonly facts?: MemoryFactsState
  /** What the object holds. */
  readonly content?: Buffer
  /** Where the object is. */
  readonly at?: string
  /** Nothing to sign links with. */
  readonly keyless?: boolean
}

/** `threadTs: undefined`: for the channel itself. */
export type Changes = Partial<Omit<typeof UploadAction.Type, "threadTs">> & {
  readonly threadTs?: typeof threadTs | undefined
}

export const uploaded = (
  answers: Parameters<typeof scriptedSlack>[0] = {},
  changes: Changes = {},
  options: Options = {}
) => {
  const slack = scriptedSlack({
    "files.getUploadURLExternal": ticket,
    "files.completeUploadExternal": completed(),
    "files.info": info(),
    ...answers
  })
  const sent: Array<{ url: string; size: number; bytes: Buffer }> = []
  return Effect.gen(function*() {
    yield* TestClock.adjust(1_000_000)
    yield* secretsStored
    if (options.objects === undefined) {
      yield* (yield* Objects).put(sandbox, options.at ?? object, Stream.make(options.content ?? bytes))
    }
    if (options.keyless === true) yield* (yield* Secrets).delete(linkKeyPath)
    const { threadTs: thread, ...rest } = { ...base, ...changes }
    const fiber = yield* Effect.forkChild(
      Effect.result((yield* Uploads).upload(
        { sender: options.sender ?? sandbox, id: requestId },
        { ...rest, ...(thread === undefined ? {} : { threadTs: thread }) },
        options.uncertainSince
      ))
    )
    for (let second = 0; second < 200 && fiber.pollUnsafe() === undefined; second++) yield* TestClock.adjust("1 second")
    const answer = yield* fiber.pollUnsafe() ?? Effect.die(new Error("the upload never ends"))
    return {
      ...slack,
      sent,
      file: answer._tag === "Success" ? answer.success.file : undefined,
      refusal: answer._tag === "Failure" ? answer.failure : undefined
    }
  }).pipe(Effect.provide(bridgeOverScript(slack, {
    ...(options.facts === undefined ? {} : { facts: options.facts }),
    ...(options.objects === undefined ? {} : { objects: options.objects }),
    transfer: options.transfer ??
      ((url, size, content) =>
        Stream.runFold(content, () => Buffer.alloc(0), (all, chunk) => Buffer.concat([all, chunk])).pipe(
          Effect.map((whole) => void sent.push({ url, size, bytes: whole }))
        ))
  })))
}
