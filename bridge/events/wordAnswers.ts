/** What the thread is told of a sandbox and of what waits in it. Pure. */
import { isEnding, type SandboxReport, type SandboxRow } from "../../runtime/domain/sandbox/Sandbox.ts"
import { utcMinute } from "../../runtime/domain/text/PromptText.ts"
import { aheadLimit } from "../../runtime/ports/QueueRules.ts"
import type { QueueAhead, QueueDepth, QueuedKey } from "../../runtime/ports/TurnQueue.ts"

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

export const loadOf = (keys: ReadonlyArray<QueuedKey>): ThreadLoad => {
  const running = keys.filter(({ state }) => state === "in-flight").length
  return { running, waiting: keys.length - running }
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
  readonly depth: QueueDepth
  readonly here: ThreadLoad | undefined
  readonly now: number
}): string => {
  const { depth, here, now, report, row } = input
  const { slackMaxConcurrentThreads: most } = row.profile.spec.cli
  return [
    `**${row.alias ?? row.id}** ${stateText(row, report, now)}.`,
    ...here === undefined ? [] : [`- In this thread ${loadText(here)}.`],
    `- In all: ${depth.inFlight} of at most ${most} ${most === 1 ? "thread" : "threads"} at work, ` +
    `${messages(depth.waiting)} waiting.`,
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

/** What a message is told that was just stored; none where it is next: ⏳ under the message before it says enough. */
export const positionText = ({ inGroup, otherGroups }: QueueAhead, mostThreads: number): string | undefined => {
  const oneAtATime = "the agent takes one message after the other."
  if (inGroup >= aheadLimit) {
    return `⏳ At least ${aheadLimit} messages of this thread are before this one: ${oneAtATime}`
  }
  if (inGroup > 1) return `⏳ This is number ${inGroup + 1} in the thread: ${oneAtATime}`
  if (inGroup > 0 || otherGroups < mostThreads) return undefined
  return `⏳ The agent works in ${otherGroups === 1 ? "another thread" : `${otherGroups} other threads`}, ` +
    "as many as it may; this one begins when one of them is done."
}
