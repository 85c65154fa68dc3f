/** What the listener refuses, and what can keep it from starting: stable codes, in answers, logs and documents alike. */

export interface HookErrorCode {
  readonly code: string
  readonly what: string
  readonly remedy: string
}

export const hookErrors = {
  unknownToken: {
    code: "KM-AGT-081",
    what: "a hook call carried no token, or one that is not valid (any more)",
    remedy: "start the session through km, so that it gets the sandbox's settings"
  },
  foreignSession: {
    code: "KM-AGT-082",
    what: "a hook call spoke for a session that its token does not belong to",
    remedy: "nothing was published; look at what runs in the sandbox if it happens again"
  },
  tooLarge: {
    code: "KM-AGT-083",
    what: "a hook call was larger than 1 MiB",
    remedy: "none needed: the text is taken from the agent's output or from its transcript instead"
  },
  notJson: {
    code: "KM-AGT-084",
    what: "a hook call was no JSON in UTF-8",
    remedy: "send what Claude Code sends to a hook, unchanged"
  },
  wrongShape: {
    code: "KM-AGT-085",
    what: "a hook call did not have the fields of its event",
    remedy: "run km doctor: this version of Claude Code may send other fields than the one that is pinned"
  },
  tooMany: {
    code: "KM-AGT-086",
    what: "a session sent more hook calls than are taken in a second",
    remedy: "none needed: what was missed is taken from the agent's output or from its transcript"
  },
  noSuchPath: {
    code: "KM-AGT-087",
    what: "the hook listener was asked for something that is not POST /hooks",
    remedy: "check the URL in the agent's settings"
  },
  notListening: {
    code: "KM-AGT-088",
    what: "the hook listener could not start",
    remedy: "check the sandbox's state directory (0700, enough space), then start the runtime again"
  },
  portChanged: {
    code: "KM-AGT-089",
    what: "the hook listener's port was taken by another program, so it has a new one",
    remedy: "start interactive sessions of this sandbox again; those that run are not shown any more"
  }
} as const satisfies Record<string, HookErrorCode>

export const errorCodes: ReadonlyArray<HookErrorCode> = Object.values(hookErrors)
