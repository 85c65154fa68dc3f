/** What of a connection to Slack is wrong, decided from what was found; pure, so that each fault is a value. */
import type { HeardState } from "../../runtime/domain/slack/BridgeProtocol.ts"
import { remedyOf, type SlackCode } from "./SlackCodes.ts"
import type { Health } from "./Waiting.ts"

export interface SlackCheck {
  readonly name: string
  /** `warn`: told, and no failure. `skip`: cannot be known while another check fails. */
  readonly status: "ok" | "warn" | "error" | "skip"
  readonly detail: string
  readonly code?: SlackCode
  /** The next command; with every code. */
  readonly next?: string
}

export const ok = (name: string, detail: string): SlackCheck => ({ name, status: "ok", detail })
export const skip = (name: string, detail: string): SlackCheck => ({ name, status: "skip", detail })
export const wrong = (name: string, code: SlackCode, detail: string, next = remedyOf(code)): SlackCheck => ({
  name,
  status: "error",
  detail,
  code,
  next
})
export const warning = (name: string, code: SlackCode, detail: string, next = remedyOf(code)): SlackCheck => ({
  ...wrong(name, code, detail, next),
  status: "warn"
})

/** The bridge gives a connection up that was silent for 45 s; one that is still counted after this is stuck. */
export const silentMillis = 60_000

type SocketHealth = NonNullable<Health["socket"]>

const socketTroubles: Readonly<Record<string, SlackCode>> = {
  link_disabled: "KM-SLK-111",
  auth: "KM-SLK-112",
  no_app_token: "KM-SLK-135",
  wrong_app: "KM-SLK-106",
  too_many_websockets: "KM-SLK-113"
}

const seconds = (millis: number): string => `${Math.round(millis / 1_000)} s`

/** Slack's Stop button, of an app that is an agent; nothing to say of any other. */
export const judgeSessions = (sessions: Health["agentSessions"]): ReadonlyArray<SlackCheck> => {
  if (sessions?.allowed !== true) return []
  switch (sessions.stopButton) {
    case null:
      return [skip("stop button", "no turn has run since the bridge started")]
    case true:
      return [ok("stop button", "Slack shows it while a turn runs")]
    case false:
      return [wrong("stop button", "KM-SLK-144", "the app does not subscribe to agent_session_stopped")]
  }
}

/** The connections of Socket Mode. */
export const judgeSocket = (socket: SocketHealth, now: number): SlackCheck => {
  const { connections, lastDisconnect, lastFrameAgeMillis, state, trouble } = socket
  const last = lastDisconnect === null
    ? ""
    : `; last disconnect: ${lastDisconnect.reason}, ${seconds(now - lastDisconnect.at)} ago`
  if (state !== "connected") {
    const why = trouble === null ? state : `${trouble.what}${trouble.detail === "" ? "" : ` (${trouble.detail})`}`
    return wrong("socket", socketTroubles[trouble?.name ?? ""] ?? "KM-SLK-114", `${why}${last}`)
  }
  if (lastFrameAgeMillis === null || lastFrameAgeMillis > silentMillis) {
    const age = lastFrameAgeMillis === null ? "no frame yet" : `last frame ${seconds(lastFrameAgeMillis)} ago`
    return wrong("socket", "KM-SLK-114", `${age}${last}`)
  }
  return ok("socket", `${connections} open, last frame ${seconds(lastFrameAgeMillis)} ago${last}`)
}

/**
 * What came: a refusal counts until something that holds came after it. Over a socket nothing has to come: that it is open
 * is proved by its own frames, and there is neither a signature nor an address that could be wrong.
 */
export const judgeHeard = (heard: HeardState, now: number, transport: "http" | "socket" = "http"): SlackCheck => {
  const { challengeAt, eventAt, firstAt, refused } = heard
  const lastGood = Math.max(challengeAt ?? 0, eventAt ?? 0)
  if (refused !== undefined && refused.at > lastGood) {
    const detail = `${refused.code}, ${seconds(now - refused.at)} ago${
      refused.detail === "" ? "" : `: ${refused.detail}`
    }`
    if (refused.code === "KM-SLK-003") return wrong("events", "KM-SLK-110", `refused as too old or too new (${detail})`)
    if (refused.code === "KM-SLK-008") {
      return wrong("events", "KM-SLK-106", `events of another app or workspace (${detail})`)
    }
    if (refused.code === "KM-SLK-011") return wrong("events", "KM-SLK-135", `no signing secret is stored (${detail})`)
    if (refused.code === "KM-SLK-002" || refused.code === "KM-SLK-004" || refused.code === "KM-SLK-005") {
      return wrong("events", "KM-SLK-116", `the last request was refused (${detail})`)
    }
  }
  if (firstAt === undefined && transport === "socket") return ok("events", "none yet: nobody has written")
  if (firstAt === undefined) return wrong("events", "KM-SLK-130", "Slack has never reached the bridge")
  return ok(
    "events",
    eventAt === undefined ? "none since the bridge started" : `the last ${seconds(now - eventAt)} ago`
  )
}

/** What the Events URL answered to a challenge that we signed ourselves. */
export type Probe =
  | { readonly _tag: "Answered"; readonly challenge: string; readonly status: number; readonly code: string }
  | { readonly _tag: "Unreachable"; readonly why: string }

export const judgeProbe = (url: string, probe: Probe, wanted: string): SlackCheck => {
  if (probe._tag === "Unreachable") return wrong("events url", "KM-SLK-115", `${url}: ${probe.why}`)
  if (probe.challenge === wanted) return ok("events url", `${url} answers`)
  // Our own signature over what we sent: if it does not hold at the bridge, something between us changed the body.
  if (probe.code === "KM-SLK-002") {
    return wrong(
      "events url",
      "KM-SLK-116",
      `${url}: a body that was signed here does not hold there: it is changed on the way`
    )
  }
  if (probe.code === "KM-SLK-003") return wrong("events url", "KM-SLK-110", `${url}: the bridge's clock differs`)
  return wrong("events url", "KM-SLK-115", `${url} answers HTTP ${probe.status}, not the challenge`)
}
