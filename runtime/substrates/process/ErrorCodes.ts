/** The codes that the host of sandboxes can show a person; `docs/errors.md` lists them. */
export const errorCodes: ReadonlyArray<{ readonly code: string; readonly what: string; readonly remedy: string }> = [
  {
    code: "KM-HST-201",
    what: "The sandbox's runtime did not end in time, so nothing of it was removed.",
    remedy: "Look at the runtime's log; when its turn is over, run the same command again."
  },
  {
    code: "KM-HST-202",
    what: "Something that is not the sandbox's own directory stands in its place; it was left alone.",
    remedy: "Look at the path in the message, move what is there away, and run the same command again."
  },
  {
    code: "KM-HST-203",
    what: "The sandbox's directory could not be removed or made.",
    remedy: "Check the owner and the mode of the state directory, then run the same command again."
  },
  {
    code: "KM-HST-204",
    what: "There is no sandbox of that id in this install.",
    remedy: "Run `km list`, or create the sandbox first."
  },
  {
    code: "KM-HST-205",
    what: "The sandbox is being destroyed, so it cannot be started.",
    remedy: "Wait until `km list` no longer shows it, then create another one."
  }
]
