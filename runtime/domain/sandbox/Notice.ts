/**
 * What the operator and the channel are told of a sandbox's life. A notice is a fact before it is sent, and stays one until
 * its sandbox is gone, so that each is told once whatever crashes.
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Profile } from "../profile/Profile.ts"
import { sha256Hex } from "../text/Digest.ts"
import { ChannelId } from "./Ids.ts"
import type { ReportedSandbox, SandboxRow } from "./Sandbox.ts"

/** `none`: not told this way, or told by whoever knows better when. */
const Way = Schema.Literals(["due", "done", "none"])

export const Notice = Schema.Struct({
  /** Unix milliseconds when it was written down. */
  at: Schema.Int,
  /** One line, without markup. */
  subject: Schema.String.check(Schema.isMaxLength(200)),
  /** Markdown, as the channel gets it. */
  text: Schema.String.check(Schema.isMaxLength(4_000)),
  channel: Schema.optionalKey(ChannelId),
  slack: Way,
  mail: Way
})
export type Notice = typeof Notice.Type

const NoticeJson = Schema.fromJsonString(Notice)
export const encodeNotice = Schema.encodeSync(NoticeJson)
const decode = Schema.decodeUnknownOption(NoticeJson)
export const decodeNotice = (value: string): Notice | undefined => Option.getOrUndefined(decode(value))

/** What begins the key of every notice among a sandbox's facts. */
export const noticePrefix = "notice/"

/** What is to be told, before it is written down. `id` names it within one life of the sandbox. */
export interface Announcement {
  readonly id: string
  readonly subject: string
  readonly text: string
  /** False where the channel hears of it from somebody else. */
  readonly slack: boolean
}

/** The fact's key: another life of the same id has notices of its own. */
export const noticeKey = (row: Pick<SandboxRow, "createdAt">, id: string): string =>
  `${noticePrefix}${row.createdAt}/${id}`

interface Told {
  readonly channel?: ChannelId | undefined
  readonly profile: Profile
}

/** The fact: by mail unless the profile says otherwise, in the channel where there is one. */
export const noticeOf = ({ channel, profile: { spec: { cli } } }: Told, what: Announcement, at: number): Notice => ({
  at,
  subject: what.subject.slice(0, 200),
  text: what.text.slice(0, 4_000),
  ...(channel === undefined ? {} : { channel }),
  slack: what.slack && cli.notifySlackEnabled && channel !== undefined ? "due" : "none",
  mail: cli.notifyEmailEnabled ? "due" : "none"
})

/** The channel and the operator are told this long before the time to live ends. */
export const warnBeforeMillis = 15 * 60_000

const labelOf = (row: SandboxRow): string => row.alias ?? row.id
const dollars = (usd: number): string => `$${usd.toFixed(2)}`
/** The last moment that a `Date` has. */
const lastMoment = 8.64e15
/** Minutes, UTC. */
const momentOf = (at: number): string =>
  `${new Date(Math.min(at, lastMoment)).toISOString().replace(/:\d\d\.\d+Z$/, "").replace("T", " ")} UTC`

const endings: Record<NonNullable<SandboxRow["endReason"]>, readonly [string, string]> = {
  destroyed: ["was destroyed", "was destroyed by the operator"],
  ttl: ["has expired", "reached the end of its time to live and was destroyed"],
  idle: ["was stopped for idleness", "was idle for longer than its profile allows and was destroyed"],
  "create-failed": ["could not be created", "could not be created"]
}

/** The last word, as the channel and the mail have it. */
export const endSentence = (row: SandboxRow, reason: NonNullable<SandboxRow["endReason"]>): string =>
  `Sandbox \`${labelOf(row)}\` ${endings[reason][1]}.`

/** The teardown itself says it in the channel, before it archives that. */
export const endAnnouncement = (row: SandboxRow, reason: NonNullable<SandboxRow["endReason"]>): Announcement => ({
  id: "ended",
  subject: `Sandbox ${labelOf(row)} ${endings[reason][0]}`,
  text: endSentence(row, reason),
  slack: false
})

/** An agent that a person works with has ended its answer and waits. `count` tells one stop of a session from the next. */
export const stopAnnouncement = (label: string, session: string, count: string): Announcement => ({
  id: `stop/${session}/${count}`,
  subject: `The agent of sandbox ${label} has stopped`,
  text: `The agent of sandbox \`${label}\` has stopped and waits in session \`${session}\`.`,
  slack: true
})

/** Its channel was archived in Slack, by a person. `event` tells one time from the next. */
export const archivedAnnouncement = (row: SandboxRow, channel: ChannelId, event: string): Announcement => ({
  id: `archived/${channel}/${event}`,
  subject: `The channel of sandbox ${labelOf(row)} was archived`,
  text:
    `Somebody archived the channel ${row.channelName ?? channel} (${channel}) of sandbox \`${labelOf(row)}\`. The ` +
    "sandbox goes on, and nobody hears from it in Slack: unarchive the channel there, or destroy the sandbox.",
  slack: false
})

/** Shares of the budget at which somebody is told. */
const shares = [0.8, 1] as const

/** What there is to tell of a sandbox as it stands now, whether or not it was told before. */
export const announcementsOf = (row: ReportedSandbox, now: number): ReadonlyArray<Announcement> => {
  if (row.status === "creating" || row.status === "destroying") return []
  const label = labelOf(row)
  const { expiresAt } = row
  const told: Array<Announcement> = [{
    id: "created",
    subject: `Sandbox ${label} was created`,
    text: `Sandbox \`${label}\` was created from profile \`${row.profile.metadata.name}\`` +
      (expiresAt === undefined ? "." : `; it lives until ${momentOf(expiresAt)}.`),
    slack: true
  }]
  // Its runtime greets the channel itself.
  if (row.ready && row.status === "running") {
    told.push({
      id: "ready",
      subject: `Sandbox ${label} is ready`,
      text: `Sandbox \`${label}\` is ready.`,
      slack: false
    })
  }
  // Shorter lives than the notice are announced when they begin.
  const warns = expiresAt !== undefined && expiresAt - now <= warnBeforeMillis &&
    expiresAt - row.createdAt > warnBeforeMillis
  if (warns) {
    const minutes = Math.max(1, Math.round((expiresAt - now) / 60_000))
    told.push({
      id: `ttl/${expiresAt}`,
      subject: `Sandbox ${label} ends in ${minutes} minutes`,
      text: `Sandbox \`${label}\` reaches the end of its time to live in ${minutes} minutes and is then destroyed. ` +
        `To keep it: \`km extend ${label} --by 1h\``,
      slack: true
    })
  }
  const { budgetUsd } = row.profile.spec.agent
  for (const share of budgetUsd > 0 ? shares : []) {
    if ((row.spentUsd ?? 0) < budgetUsd * share) continue
    const spent = `${dollars(row.spentUsd ?? 0)} of ${dollars(budgetUsd)}`
    told.push({
      id: `budget/${share * 100}/${budgetUsd}`,
      subject: `Sandbox ${label} has spent ${share * 100} % of its budget`,
      text: share < 1
        ? `Sandbox \`${label}\` has spent ${share * 100} % of its budget (${spent}).`
        : `Sandbox \`${label}\` has spent its budget (${spent}): no further turn begins.`,
      slack: true
    })
  }
  const reason = row.failureReason ?? ""
  if (row.status === "failed" || (!row.ready && reason !== "")) {
    told.push({
      id: `error/${sha256Hex(reason).slice(0, 16)}`,
      subject: `Sandbox ${label} has a fault`,
      text: `Sandbox \`${label}\` does not work${reason === "" ? "." : `: ${reason.slice(0, 1_000)}`} ` +
        `See \`km status ${label}\` and \`km logs ${label}\`.`,
      slack: true
    })
  }
  return told
}
