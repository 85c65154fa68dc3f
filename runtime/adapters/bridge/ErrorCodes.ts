/** The codes that the bridge client can show a person; `docs/errors.md` lists them. */
export const errorCodes: ReadonlyArray<{ readonly code: string; readonly what: string; readonly remedy: string }> = [
  {
    code: "KM-SLK-201",
    what: "The sandbox has no usable signing key, so nothing of it can reach Slack.",
    remedy: "Look at `km status`; if the sandbox is not being destroyed, destroy it and create it again."
  },
  {
    code: "KM-SLK-202",
    what: "A request that an earlier version left in the outbox cannot be read and is not sent.",
    remedy: "Run the earlier version once so that it sends what it left, or leave it: nothing else waits for it."
  }
]
