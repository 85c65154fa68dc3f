/**
 * Slack's Socket Mode towards one app, as the rest of the workspace and tests see it.
 */
import type * as Effect from "effect/Effect"
import type { Json } from "../Json.ts"
import type { SlackRefusal } from "../WorkspaceError.ts"

export type DisconnectReason = "warning" | "refresh_requested" | "link_disabled" | "too_many_websockets"

/** How one delivery over a socket ended. `no_connection`: nobody was there to send it to. */
export interface SocketAttempt {
  readonly ok: boolean
  readonly reason: "timeout" | "no_connection" | undefined
  /** The connection it went out on. */
  readonly connection: number | undefined
  /** What the acknowledgement carried besides the id. */
  readonly payload: unknown
}

/** One connection as tests see it. */
export interface SocketView {
  readonly id: number
  /** `greeted`: it has had its hello; `closing`: it gets nothing more; `frozen`: half open on purpose. */
  readonly state: "greeted" | "closing" | "frozen"
  readonly sent: number
  readonly acknowledged: number
}

/** What happened since the start. */
export interface SocketCounts {
  readonly opened: number
  /** The most that were open at one time, without those in their closing handshake. */
  readonly mostOpen: number
  readonly acknowledged: number
  /** Acknowledgements with an id that was not sent on that connection, or not at all; Slack's reaction is assumed: none. */
  readonly strayAcknowledgements: number
  /** Frames that are no JSON object. */
  readonly unreadable: number
  readonly tickets: number
  readonly refused: number
}

export interface SocketServer {
  /** Whether Socket Mode is switched on: events come here then, and not by HTTP. */
  readonly isOn: () => boolean
  /** Switched off, every connection is told `link_disabled` and closed. */
  readonly switch: (on: boolean) => Effect.Effect<void>
  /** A URL for one connection; it is a secret. `asked` counts as an ask also where it is refused. */
  readonly ticket: Effect.Effect<string, SlackRefusal>
  /** Sends an envelope to one connection, chosen by chance, and waits for its acknowledgement. */
  readonly deliver: (envelope: {
    readonly type: string
    readonly payload: Json
    readonly retry?: { readonly num: number; readonly reason: string }
    readonly acceptsResponse?: boolean
  }) => Effect.Effect<SocketAttempt>
  readonly connections: () => ReadonlyArray<SocketView>
  readonly counts: () => SocketCounts
  /** A `disconnect` frame to one connection (the newest unless named) or to all; what follows is as Slack has it. */
  readonly disconnect: (reason: DisconnectReason, which?: number | "all") => Effect.Effect<void>
  /** Cuts the TCP connections without a word. */
  readonly drop: (which?: number | "all") => Effect.Effect<void>
  /** Nothing goes out any more and nothing is answered, but the connection stays: half open. */
  readonly freeze: (which?: number | "all") => Effect.Effect<void>
  /** From now on TCP stays open after the closing handshake. Source: slackapi/node-slack-sdk#2752. */
  readonly keepTcp: (keep: boolean) => Effect.Effect<void>
  /** The text as it is, to every connection: also what is no envelope. */
  readonly sendText: (text: string) => Effect.Effect<void>
}
