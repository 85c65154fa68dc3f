/** The stable codes of the turn pipeline and the plugin host: what a person reads in a thread, in `km status`, in a log. */

export const errorCodes: ReadonlyArray<{ readonly code: string; readonly what: string; readonly remedy: string }> = [
  {
    code: "KM-TRN-001",
    what: "The turn's run directory could not be made, so no agent was started.",
    remedy: "Free some space under the state directory and check its owner and mode (0700), then ask again."
  },
  {
    code: "KM-TRN-002",
    what: "The agent still worked when the profile's turn timeout ran out, and was ended.",
    remedy: "Write in the thread to go on, ask for less at once, or raise `spec.agent.turnTimeout`."
  },
  {
    code: "KM-TRN-003",
    what: "The agent ended without an answer.",
    remedy: "Check what it changed in the workspace, then ask again."
  },
  {
    code: "KM-TRN-004",
    what: "The turn was interrupted after the agent had begun, and its conversation cannot be found to go on with.",
    remedy: "The agent may have changed files or called tools: check the workspace, then ask again."
  },
  {
    code: "KM-TRN-005",
    what: "The turn was interrupted twice while the agent worked, so it is parked and not tried again by itself.",
    remedy: "Check what was changed in the workspace; `km replay` runs the message again from the start."
  },
  {
    code: "KM-TRN-006",
    what: "The agent could not be brought to a start: the runtime ended again and again at that moment.",
    remedy: "See `km logs` for the reason; `km replay` runs the message again."
  },
  {
    code: "KM-TRN-007",
    what: "The disk that holds the turns' ledger is full: no new message is taken.",
    remedy: "Free some space; what waits goes on by itself."
  },
  {
    code: "KM-TRN-008",
    what: "The turns' ledger cannot be read. Nothing was changed or deleted.",
    remedy: "Stop the runtime, restore `ledger.db` from a backup or move it away, and start it again."
  },
  {
    code: "KM-TRN-009",
    what: "The plugin that shows outcomes crashed each time it was asked to show this one.",
    remedy: "See `km logs`; the turn's answer is in its run directory. Report the crash."
  },
  {
    code: "KM-TRN-010",
    what: "The turns' ledger cannot be written at the moment, or the runtime stops: no new message is taken.",
    remedy: "Nothing to do: messages wait in the queue and are taken as soon as it works again."
  },
  {
    code: "KM-HST-101",
    what: "The plugins depend on each other in a circle, so none can be started.",
    remedy: "Correct `after` in the plugins that the message names."
  },
  {
    code: "KM-HST-102",
    what: "A plugin's configuration is not valid; it is not started.",
    remedy: "Correct the keys of the profile that the message names, then create the sandbox again."
  },
  {
    code: "KM-HST-103",
    what: "A plugin ended or crashed; it is started again, each time after a longer pause (60 seconds at most).",
    remedy: "See `km logs`. While an essential plugin is down the sandbox is not ready and messages wait."
  }
]

/** What was met and what to do next, for one of the codes above; the texts of the list where none is given. */
export const failure = (
  code: (typeof errorCodes)[number]["code"],
  reason?: string
): { readonly code: string; readonly reason: string; readonly remedy: string } => {
  const entry = errorCodes.find((known) => known.code === code)
  return { code, reason: reason ?? entry?.what ?? code, remedy: entry?.remedy ?? "" }
}
