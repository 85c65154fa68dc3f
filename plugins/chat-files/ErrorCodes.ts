/** What can keep a file from passing between a thread and the agent, as people and agents see it. */

const table = {
  "KM-SLK-311": [1, "A file of a message was not given to the agent.", "Follow the reason in the thread."],
  "KM-SLK-312": [
    1,
    "There is no room on the sandbox's disk for a file.",
    "Free some space on its machine, then send the file again."
  ],
  "KM-SLK-313": [1, "The runtime of the sandbox does not answer.", "Run it inside a sandbox whose runtime is up."],
  "KM-SLK-314": [2, "The command line is not right.", "See `km-attach --help`."],
  "KM-SLK-315": [
    1,
    "A file to be attached cannot be read, is no regular file, or changed while it was read.",
    "Check its path and rights."
  ],
  "KM-SLK-316": [
    6,
    "A file to be attached is empty or larger than the sandbox may attach, or there were too many in one turn.",
    "Attach less, or raise `spec.cli.slackMaxFileMegabytes` (100 at most)."
  ],
  "KM-SLK-317": [
    6,
    "No turn of a Slack thread runs, so there is no thread to attach a file to.",
    "Attach files while you work on a message from Slack; by mail `km-send` attaches them."
  ],
  "KM-SLK-319": [
    1,
    "The inbox of the sandbox holds as many bytes as it may (2,000 MiB), so a file was not given to the agent.",
    "Write `!new` and a message in threads whose files are no longer needed, or use another sandbox; then send it again."
  ],
  "KM-SLK-318": [
    6,
    "Slack, the bridge, a store or the runtime refused the file.",
    "Follow the reason; show the content as text instead."
  ]
} as const satisfies Record<string, readonly [exit: number, what: string, remedy: string]>

export type FileCode = keyof typeof table

export interface FileTrouble {
  readonly code: FileCode
  readonly exit: number
  readonly what: string
  readonly why: string
  readonly next: string
}

/** What the agent's program is told; it exits with `exit`. */
export const fileTrouble = (code: FileCode, why: string): FileTrouble => {
  const [exit, what, next] = table[code]
  return { code, exit, what, why, next }
}

export const errorCodes: ReadonlyArray<{ readonly code: string; readonly what: string; readonly remedy: string }> =
  Object.entries(table).map(([code, [, what, remedy]]) => ({ code, what, remedy }))
