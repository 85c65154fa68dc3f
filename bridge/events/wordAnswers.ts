/** What the thread is told of a sandbox and of what waits in it. Pure. */
import type { GroupId, TurnKey } from "../../runtime/domain/sandbox/Ids.ts"
import { isEnding, type SandboxReport, type SandboxRow } from "../../runtime/domain/sandbox/Sandbox.ts"
import { utcMinute } from "../../runtime/domain/text/PromptText.ts"
import type { QueuedKey } from "../../runtime/ports/TurnQueue.ts"

/** A runtime reports several times a minute; one that was silent so long may be gone. */
const silentMillis = 3 * 60_000

export const messages = (count: number): string => count === 1 ? "1 message" : `${count} messages`

/** How the sandbox is, in a sentence. */
export const stateText = (row: SandboxRow, report: SandboxReport, now: number): string => {
  if (isEnding(row)) return "is being destroyed and takes no more messages"
  if (row.desired === "stopped") {
    return row.status === "stopped" ? "is paused" : "is pausing: it ends what it works on and begins nothing"
  }
  const { failureReason, lastSeenAt, ready } = report
  if (lastSeenAt !== undefined && now - lastSeenAt > silentMillis) {
    return `does not answer: its runtime was last heard ${utcMinute(lastSeenAt)}`
  }
  if (ready) return "is ready"
  const plugin = report.plugins.find(({ state }) => state !== "running")
  return failureReason !== undefined && failureReason !== ""
    ? `is not ready: ${failureReason}`
    : plugin === undefined
    ? "is starting"
    : `is starting: ${plugin.id} is ${plugin.state}`
}

/** What of a thread is under way. */
export interface ThreadLoad {
  readonly running: number
  readonly waiting: number
}

export const loadOf = (keys: ReadonlyArray<QueuedKey>, group: GroupId): ThreadLoad => {
  const here = keys.filter((entry) => entry.group === group)
  const running = here.filter(({ state }) => state === "in-flight").length
  return { running, waiting: here.length - running }
}

const loadText = ({ running, waiting }: ThreadLoad): string =>
  running === 0 && waiting === 0
    ? "nothing runs or waits"
    : [
      ...running === 0 ? [] : ["the agent works on a message"],
      ...waiting === 0 ? [] : [`${messages(waiting)} ${waiting === 1 ? "waits" : "wait"}`]
    ].join(", ")

/** `!status`, for a thread or, without one, for the channel. */
export const statusText = (input: {
  readonly row: SandboxRow
  readonly report: SandboxReport
  readonly keys: ReadonlyArray<QueuedKey>
  readonly group: GroupId | undefined
  readonly now: number
}): string => {
  const { group, keys, now, report, row } = input
  const running = keys.filter(({ state }) => state === "in-flight").length
  const { slackMaxConcurrentThreads: most } = row.profile.spec.cli
  return [
    `**${row.alias ?? row.id}** ${stateText(row, report, now)}.`,
    ...group === undefined ? [] : [`- In this thread ${loadText(loadOf(keys, group))}.`],
    `- In all: ${running} of at most ${most} ${most === 1 ? "thread" : "threads"} at work, ` +
    `${messages(keys.length - running)} waiting.`,
    `- ${modelText(row)}`,
    ...report.spentUsd === undefined ? [] : [`- Spent on the model so far: $${report.spentUsd.toFixed(2)}.`],
    ...report.confined === false ? ["- Its agent runs **unconfined**."] : []
  ].join("\n")
}

/** `!model`. */
export const modelText = ({ profile }: SandboxRow): string => {
  const { model } = profile.spec.agent
  return model === "default"
    ? "The agent uses the model that its program chooses; `spec.agent.model` of the profile names another."
    : `The agent uses the model \`${model.replaceAll("`", "")}\`, by \`spec.agent.model\` of its profile.`
}

/**
 * What a message is told that was just stored; none where it is next: ⏳ under the message before it says enough. `keys` are
 * the queue's, oldest first, with this message.
 */
export const positionText = (
  keys: ReadonlyArray<QueuedKey>,
  own: TurnKey,
  mostThreads: number
): string | undefined => {
  const at = keys.findIndex(({ key }) => key === own)
  const entry = keys[at]
  if (entry === undefined || entry.state === "in-flight") return undefined
  const before = keys.slice(0, at).filter(({ group }) => group === entry.group).length
  if (before > 1) return `⏳ This is number ${before + 1} in the thread: the agent takes one message after the other.`
  const threads = new Set(keys.filter(({ state }) => state === "in-flight").map(({ group }) => group))
  if (before > 0 || threads.has(entry.group) || threads.size < mostThreads) return undefined
  return `⏳ The agent works in ${
    threads.size === 1 ? "another thread" : `${threads.size} other threads`
  }, as many as it may; ` +
    "this one begins when one of them is done."
}
