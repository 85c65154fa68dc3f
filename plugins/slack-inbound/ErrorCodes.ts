/** The codes that chat into a sandbox can show a person; `docs/errors.md` lists them. */
export const errorCodes: ReadonlyArray<{ readonly code: string; readonly what: string; readonly remedy: string }> = [
  {
    code: "KM-SLK-301",
    what: "A message in the queue was written by another version and cannot be read; nothing was started for it.",
    remedy: "Send the message again once bridge and runtime are of one version."
  },
  {
    code: "KM-SLK-302",
    what: "The queue of the sandbox is gone.",
    remedy: "Destroy the sandbox and create it again with inbound chat enabled."
  },
  {
    code: "KM-SLK-303",
    what: "The disk is full: messages are kept, but none is started.",
    remedy: "Free some space on the machine; the work that waits goes on by itself."
  },
  {
    code: "KM-SLK-304",
    what: "The queue cannot be read (damaged file, wrong owner or mode); nothing was changed.",
    remedy: "Run `km doctor`; restore the file from a backup, or set its owner and mode (0600)."
  },
  {
    code: "KM-SLK-305",
    what: "Slack or the bridge refused to show what came of a turn.",
    remedy: "`km replay` with the turn's key shows it; `km logs` has the reason."
  }
]
