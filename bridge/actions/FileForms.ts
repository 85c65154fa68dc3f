/**
 * In which form a channel takes a session's file: as it is, unpacked, or as a link. Channels shared by Slack Connect refuse
 * some extensions with a bare `internal_error` (github.com/slackapi/node-slack-sdk/issues/2301); what a channel took is
 * remembered, so that a refusal is met once and not with every turn.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { gunzipSync } from "node:zlib"
import type { ChannelId, SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import type { Facts } from "../../runtime/ports/Facts.ts"
import { BridgeRefusal } from "../BridgeErrors.ts"

/** In the order in which they are tried. */
export const fileForms = ["packed", "unpacked", "link"] as const
export type FileForm = (typeof fileForms)[number]
const decodeForm = Schema.decodeUnknownOption(Schema.Literals(fileForms))

/** Bytes of an unpacked file, which is held in memory and unpacked in about 0.1 s; a larger one becomes a link. */
const maxUnpackedBytes = 32 * 1024 * 1024

const suffix = ".jsonl.gz"

/** The name without its packing; undefined for a file that has none. */
export const unpackedName = (filename: string): string | undefined =>
  filename.endsWith(suffix) ? filename.slice(0, -".gz".length) : undefined

/** The forms that are left to try. What is not packed is sent as it is or linked. */
export const formsFrom = (filename: string, first: FileForm): ReadonlyArray<FileForm> =>
  fileForms.slice(fileForms.indexOf(first)).filter((form) =>
    form !== "unpacked" || unpackedName(filename) !== undefined
  )

const factKey = (channel: ChannelId): string => `files/${channel}`

/** What the channel took last time; a store that is away costs a refusal at most. */
export const rememberedForm = (facts: Facts["Service"], sandbox: SandboxId, channel: ChannelId) =>
  facts.get(sandbox, factKey(channel)).pipe(
    Effect.map((value) => Option.getOrElse(Option.flatMap(value, decodeForm), (): FileForm => "packed")),
    Effect.orElseSucceed((): FileForm => "packed")
  )

export const rememberForm = (facts: Facts["Service"], sandbox: SandboxId, channel: ChannelId, form: FileForm) =>
  Effect.ignore(facts.put(sandbox, factKey(channel), form))

const notPacked = new BridgeRefusal({ code: "bad_object", detail: "the object is not gzip, or too large unpacked" })

/** The content without its packing, whole: Slack wants to know the size first. */
export const unpacked = <E>(content: Stream.Stream<Uint8Array, E>): Effect.Effect<Uint8Array, E | BridgeRefusal> =>
  Stream.runCollect(content).pipe(
    Effect.flatMap((chunks) =>
      Effect.try({
        try: (): Uint8Array => gunzipSync(Buffer.concat(chunks), { maxOutputLength: maxUnpackedBytes }),
        catch: () => notPacked
      })
    )
  )
