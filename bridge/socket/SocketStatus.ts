/** What an operator wants to know of the connection to Slack, as JSON for `/healthz`. */
import { socketErrors } from "./SocketErrors.ts"
import type { SocketMachine } from "./SocketMachine.ts"

export interface SocketStatus {
  /**
   * `connected`: events arrive. `connecting`: the first try, or one right after a loss. `waiting`: the next try is at
   * `trouble.retryAt`. `stopped`: only a person can repair it.
   */
  readonly state: "connected" | "connecting" | "waiting" | "stopped"
  /** Two while one takes the place of the other. */
  readonly connections: number
  /** Milliseconds since 1970 of the last frame; null before the first. A ping is one, so it is never old for long. */
  readonly lastFrameAt: number | null
  /** Since then in milliseconds. */
  readonly lastFrameAgeMillis: number | null
  /** Slack's own reason, or ours (`silent`, `dropped`, `unreachable` …). */
  readonly lastDisconnect: { readonly reason: string; readonly at: number } | null
  /** Since when nothing can arrive; null while connected. */
  readonly deafSince: number | null
  readonly trouble: {
    readonly code: string
    readonly name: string
    readonly what: string
    readonly remedy: string
    /** Slack's own word, where it said one. */
    readonly detail: string
    readonly since: number
    readonly retryAt: number
  } | null
  /** Since the start. `refused` and `unknown` ones are acknowledged too, but those that could not be stored. */
  readonly envelopes: {
    readonly received: number
    readonly acknowledged: number
    readonly refused: number
    readonly unknown: number
    readonly unreadable: number
  }
}

export const statusOf = (
  machine: SocketMachine,
  envelopes: SocketStatus["envelopes"],
  now: number
): SocketStatus => {
  const connections = machine.links.filter(({ state }) => state !== "opening").length
  const { lastEnding, lastFrameAt, trouble } = machine
  return {
    state: connections > 0
      ? "connected"
      : machine.stopped
      ? "stopped"
      : trouble === undefined
      ? "connecting"
      : "waiting",
    connections,
    lastFrameAt: lastFrameAt ?? null,
    lastFrameAgeMillis: lastFrameAt === undefined ? null : Math.max(0, now - lastFrameAt),
    lastDisconnect: lastEnding ?? null,
    deafSince: machine.deafSince ?? null,
    trouble: trouble === undefined ? null : {
      code: socketErrors[trouble.kind].code,
      name: trouble.kind,
      what: socketErrors[trouble.kind].what,
      remedy: socketErrors[trouble.kind].remedy,
      detail: trouble.detail,
      since: trouble.since,
      retryAt: machine.tryAt
    },
    envelopes: { ...envelopes }
  }
}
