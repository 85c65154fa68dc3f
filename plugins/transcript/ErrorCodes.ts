/** What can keep a turn from being shown live or its session from being attached: stable codes for logs and documents. */

export const errorCodes: ReadonlyArray<{ readonly code: string; readonly what: string; readonly remedy: string }> = [
  {
    code: "KM-AGT-091",
    what: "a transcript was left out: it is missing, no regular file, a link, too large, or cannot be read",
    remedy: "none needed for the answer; if the session is to be attached, look at the agent's ~/.claude/projects"
  },
  {
    code: "KM-AGT-092",
    what: "the transcript plugin has no channel to show turns in",
    remedy: "set notifySlackEnabled and notifySlackPerSandbox in the profile and create the sandbox again"
  },
  {
    code: "KM-AGT-093",
    what: "hooks are off: the last turn's text came from the agent's output alone",
    remedy: "look for disableAllHooks in the repository's or the user's settings; answers are complete all the same"
  }
]
