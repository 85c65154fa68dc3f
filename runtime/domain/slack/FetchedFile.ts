/** What `file.get` comes to: the bytes of a file that people dropped, piece by piece, or why there are none. */
import * as Schema from "effect/Schema"

/** Why a person's file is not there for the agent. */
export const FileRefusal = Schema.Literals([
  /** Deleted meanwhile, or never there. */
  "gone",
  /** Older than the workspace's plan shows. */
  "hidden",
  /** A canvas, a list: nothing that could be downloaded. */
  "no_bytes",
  "too_large",
  /** Slack shows a page for people in place of the bytes. */
  "sign_in",
  /** Not in the sender's channel. */
  "not_here",
  "no_access",
  /** Slack names an address that is none of its own. */
  "foreign_address",
  "disk_full"
])
export type FileRefusal = typeof FileRefusal.Type

/** What became of a `file.get`. `name` and `mimeType` are the sender's words. */
export const FetchedFile = Schema.Union([
  Schema.Struct({
    state: Schema.Literal("stored"),
    name: Schema.String,
    mimeType: Schema.String,
    object: Schema.String,
    size: Schema.Int,
    sha256: Schema.String
  }),
  /** Its bytes are not with Slack; `url` is where a person would open it. */
  Schema.Struct({ state: Schema.Literal("elsewhere"), name: Schema.String, url: Schema.String }),
  Schema.Struct({ state: Schema.Literal("refused"), name: Schema.String, why: FileRefusal })
])
export type FetchedFile = typeof FetchedFile.Type
