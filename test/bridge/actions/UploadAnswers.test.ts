/** What Slack answers about files, as far as we go by it: what is missing is read, what has another form is not. */
import { assert, describe, it } from "@effect/vitest"
import { Option, Schema } from "effect"
import {
  ChannelInfo,
  Completed,
  FileInfo,
  mayRefuseFiles,
  Page,
  placesIn,
  refusesFiles,
  refusesForm
} from "../../../bridge/actions/UploadAnswers.ts"
import { SlackFailure } from "../../../bridge/slack/SlackErrors.ts"
import { ChannelId } from "../../../runtime/domain/sandbox/Ids.ts"

const channel = ChannelId.make("C0OWN00001")
const other = ChannelId.make("C0ELSE0001")
const read = <A>(schema: Schema.Codec<A, unknown>, value: unknown) =>
  Option.getOrUndefined(Schema.decodeUnknownOption(schema)(value))
const failure = (error: string) => new SlackFailure({ method: "x", kind: "Refused", error, retryAfterMillis: 0 })

describe("an answer about files", () => {
  it("is read with what we need of it", () => {
    const shares = {
      public: { [channel]: [{ ts: "1700000000.000001" }] },
      private: { [channel]: [{ ts: "1700000000.000002" }] }
    }
    const file = { id: "F1", permalink: "https://x", shares }
    assert.deepStrictEqual(read(Completed, { files: [file, { id: "F2" }], ok: true }), {
      files: [file, { id: "F2" }]
    } as never)
    assert.deepStrictEqual(read(FileInfo, { file: { ...file, user: "U1", channels: ["C1"], groups: ["G1"] } }), {
      file: { ...file, user: "U1", channels: ["C1"], groups: ["G1"] }
    } as never)
    assert.deepStrictEqual(read(ChannelInfo, { channel: { is_ext_shared: true, name: "x" } }), {
      channel: { is_ext_shared: true }
    })
    const messages = [{ user: "U1", bot_id: null, files: [{ id: "F1", name: null, title: "t", permalink: "p" }] }]
    assert.deepStrictEqual(read(Page, { messages }), { messages })
    assert.deepStrictEqual(read(Page, {}), {})
    for (
      const odd of [{}, { files: {} }, { files: [{}] }, { files: [{ id: 1 }] }, { files: [{ id: "F", shares: 1 }] }]
    ) {
      assert.isUndefined(read(Completed, odd), JSON.stringify(odd))
    }
    assert.isUndefined(read(FileInfo, { file: {} }))
    assert.isUndefined(read(ChannelInfo, {}))
    assert.isUndefined(read(Page, { messages: [{ files: [{}] }] }))
  })

  it("says in which messages of a channel a file stands", () => {
    const shares = {
      public: { [channel]: [{ ts: "1700000000.000001" }] },
      private: { [channel]: [{ ts: "1700000000.000002" }] }
    } as never
    assert.deepStrictEqual(placesIn(shares, channel).map(({ ts }) => String(ts)), [
      "1700000000.000001",
      "1700000000.000002"
    ])
    assert.deepStrictEqual(placesIn(shares, other), [])
    assert.deepStrictEqual(placesIn(undefined, channel), [])
    assert.deepStrictEqual(placesIn({} as never, ChannelId.make("C0OWN00002")), [])
  })

  it("refuses files at all, files of a kind, or perhaps only us", () => {
    const errors = {
      file_sharing_disabled: "files",
      not_allowed: "files",
      restricted_action: "files",
      channel_type_not_supported: "files",
      file_uploads_except_images_disabled: "files",
      posting_to_channel_denied: "files",
      slack_connect_file_upload_sharing_blocked: "files",
      slack_connect_blocked_file_type: "form",
      blocked_file_type: "form",
      file_type_not_allowed: "form",
      internal_error: "perhaps",
      channel_not_found: "",
      "": ""
    }
    for (const [error, what] of Object.entries(errors)) {
      const said = [refusesFiles, refusesForm, mayRefuseFiles].map((test) => test(failure(error)))
      assert.deepStrictEqual(said, ["files", "form", "perhaps"].map((kind) => kind === what), error)
    }
  })
})
