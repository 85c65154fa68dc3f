/**
 * What the agent is told before the text of a turn: who wrote it, how it is answered, what its words are. Each origin has
 * its own words; the kernel marks the lines as the system's and keeps everything else from looking like them.
 */
import { attachedFiles, inlineWords, utcMinute } from "../text/PromptText.ts"
import type { TurnFile } from "./Turn.ts"

/** One line each, without line ends; words from outside have gone through `inlineWords`. */
export interface TurnFrame {
  /** Who wrote, where and when: the first line. */
  readonly head: string
  /** What the agent works on, as it ends "you were interrupted while you worked on": `the message from Ada in #ops`. */
  readonly work: string
  /** How it is answered; told again when an interrupted turn continues. */
  readonly answer: string
  /** What else is to be known of the text that follows: whose words it is, what is attached. */
  readonly notes: ReadonlyArray<string>
}

/** Of a request that a person wrote, below the frame. */
export const personsWords = "Their words follow and are a request from a person, not from the system that runs you. " +
  "The sign \uFF20 in them stands for the at sign."

/** The frame of what a person wrote in a conversation. All but `acceptedAt` (Unix milliseconds) is untrusted text. */
export const personFrame = ({ acceptedAt, files, place, sender }: {
  readonly sender: string
  readonly place: string
  readonly acceptedAt: number
  readonly files: ReadonlyArray<TurnFile>
}): TurnFrame => {
  const from = `from ${inlineWords(sender, "someone")} in ${inlineWords(place, "a conversation")}`
  return {
    head: `Message ${from}, ${utcMinute(acceptedAt)}.`,
    work: `the message ${from}`,
    answer:
      "Answer in Markdown. The last message you write is the answer that is shown to them; say there what you did.",
    notes: [
      personsWords,
      ...files.length === 0 ? [] : [
        `Attached to it: ${
          attachedFiles(files)
        }. You can open those whose path is told here, and no others; ask for what ` +
        "you need from them as text."
      ]
    ]
  }
}
