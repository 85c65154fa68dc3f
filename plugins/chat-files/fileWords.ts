/** What the agent and the people in the thread are told of the files of a message. Pure. */
import type { FetchedFile, FileRefusal } from "../../runtime/domain/slack/FetchedFile.ts"
import { inlineWords, neutralise } from "../../runtime/domain/text/PromptText.ts"
import { maxLineCharacters } from "./limits.ts"

/** One file of a message, and what became of it. `name` is safe everywhere. */
export type Arrived =
  | {
    readonly _tag: "There"
    readonly name: string
    readonly path: string
    readonly mimeType: string
    readonly size: number
  }
  | { readonly _tag: "Elsewhere"; readonly name: string; readonly url: string }
  | {
    readonly _tag: "Missing"
    readonly name: string
    readonly why: string
    readonly code: "KM-SLK-311" | "KM-SLK-312" | "KM-SLK-319"
  }

const reasons: Readonly<Record<FileRefusal, string>> = {
  gone: "it was deleted",
  hidden: "it is older than what the workspace's plan shows",
  no_bytes: "it is a canvas, a list or another thing that only Slack can open; paste its text, or export it as a file",
  too_large: "it is larger than this sandbox takes",
  sign_in: "Slack gave its sign-in page in place of the file; an operator finds the cause with `km slack status`",
  not_here: "it is not shared in this channel; share it here",
  no_access: "Slack does not let the app have it; share a copy of it here",
  foreign_address: "its bytes are not with Slack; paste the link instead",
  disk_full: "there is no room on the disk"
}

export const missing = (name: string, why: FileRefusal): Arrived => ({
  _tag: "Missing",
  name,
  why: reasons[why],
  code: why === "disk_full" ? "KM-SLK-312" : "KM-SLK-311"
})

/** The inbox holds as much as it may. */
export const noRoom = (name: string): Arrived => ({
  _tag: "Missing",
  name,
  why: "the files that people sent to this sandbox fill its inbox; `!new` and a message in an older thread make room",
  code: "KM-SLK-319"
})

/** A file that could be had in no way that `file.get` knows. */
export const unexplained = (name: string, why: string): Arrived => ({ _tag: "Missing", name, why, code: "KM-SLK-311" })

/** Lines of items, as few as the limit of one line allows. */
const packed = (head: string, items: ReadonlyArray<string>): ReadonlyArray<string> => {
  const lines: Array<string> = []
  for (const item of items) {
    const last = lines.at(-1)
    const longer = last === undefined ? undefined : `${last}; ${item}`
    if (longer === undefined || longer.length > maxLineCharacters) lines.push(`${head}: ${item}`)
    else lines[lines.length - 1] = longer
  }
  return lines
}

const sizeOf = (bytes: number): string =>
  bytes < 1_024
    ? `${bytes} B`
    : bytes < 1_048_576
    ? `${Math.ceil(bytes / 1_024)} KiB`
    : `${Math.ceil(bytes / 1_048_576)} MiB`

/** Where the files lie, for the prompt. */
export const promptOf = (arrived: ReadonlyArray<Arrived>): ReadonlyArray<string> => [
  ...packed(
    "Files of this message, read-only, as the person sent them",
    arrived.flatMap((file) =>
      file._tag === "There"
        ? [`${file.path} (${inlineWords(file.mimeType, "unknown type")}, ${sizeOf(file.size)})`]
        : []
    )
  ),
  ...packed(
    "Files of this message that lie elsewhere, as links of the person's",
    arrived.flatMap((file) => file._tag === "Elsewhere" ? [`${file.name}: ${neutralise(file.url)}`] : [])
  ),
  ...packed(
    "Files of this message that could not be had, which the person is told",
    arrived.flatMap((file) => file._tag === "Missing" ? [`${file.name} (${inlineWords(file.why, "no reason")})`] : [])
  )
]

/** Markdown for the thread; none when every file is there. */
export const noticeOf = (arrived: ReadonlyArray<Arrived>): string | undefined => {
  const lines = arrived.flatMap((file) =>
    file._tag === "Missing" ? [`📎 \`${file.name}\` did not reach the agent: ${file.why}. (${file.code})`] : []
  )
  return lines.length === 0 ? undefined : lines.join("\n")
}

export const nameIn = (fetched: FetchedFile | undefined, fallback: string): string => {
  const name = fetched?.name ?? fallback
  return name === "file" ? fallback : name
}
