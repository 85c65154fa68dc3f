/** How often a channel is told of mail: one sandbox's flood must not use up what Slack lets the whole workspace post. */

/** A minute of lines that people can read; Slack takes one a second in a channel. */
export const announcedPerMinute = 20

export class AnnouncementPace {
  private since = Number.NEGATIVE_INFINITY
  private count = 0

  /** What the next mail gets: a line of its own, the line that stands for all the rest of this minute, or none. */
  next(nowMillis: number): "line" | "summary" | "none" {
    if (nowMillis - this.since >= 60_000) {
      this.since = nowMillis
      this.count = 0
    }
    this.count++
    return this.count <= announcedPerMinute ? "line" : this.count === announcedPerMinute + 1 ? "summary" : "none"
  }
}
