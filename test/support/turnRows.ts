/** Builders of turns for tests: a Slack message as the bridge queues it, and its row in the ledger. */
import { Schema } from "effect"
import { Profile } from "../../runtime/domain/profile/Profile.ts"
import {
  ChannelId,
  GroupId,
  InstallName,
  MessageTs,
  SandboxId,
  slackTurnKey,
  TeamId,
  UserId
} from "../../runtime/domain/sandbox/Ids.ts"
import { TurnRequest, type TurnRow } from "../../runtime/domain/turn/Turn.ts"
import type { QueueEntry } from "../../runtime/ports/TurnQueue.ts"

export const sandbox = SandboxId.make("sb-00000001")
export const channel = ChannelId.make("C0CHANNEL")
const team = TeamId.make("T0TEAM")

const decodeProfile = Schema.decodeUnknownSync(Profile)
/** Every Slack flag on. */
export const slackProfile = decodeProfile({
  apiVersion: "klankermaker.ai/v1",
  kind: "SandboxProfile",
  metadata: { name: "test" },
  spec: {
    cli: {
      notifySlackEnabled: true,
      notifySlackPerSandbox: true,
      notifySlackInboundEnabled: true,
      notifySlackTranscriptEnabled: true
    }
  }
})

export const sandboxInfo = {
  id: sandbox,
  install: InstallName.make("km"),
  profile: slackProfile,
  channel,
  label: "demo",
  directories: { state: "/nowhere", home: "/nowhere/home", workspace: "/nowhere/workspace", runs: "/nowhere/runs" }
}

/** The `n`-th message of a thread; `thread` 0 means that it opens one. */
export const slackRequest = (n: number, options: { readonly thread?: number; readonly acceptedAt?: number } = {}) => {
  const ts = MessageTs.make(`1700000000.${String(n).padStart(6, "0")}`)
  const threadTs = options.thread === undefined
    ? ts
    : MessageTs.make(`1700000000.${String(options.thread).padStart(6, "0")}`)
  return {
    key: slackTurnKey(team, channel, ts),
    group: GroupId.make(`${channel}:${threadTs}`),
    origin: { kind: "slack", team, channel, ts, threadTs, user: UserId.make("U0ANNA"), userName: "anna" },
    text: `message ${n}`,
    files: [],
    acceptedAt: options.acceptedAt ?? 0
  } satisfies TurnRequest
}

const encodeRequest = Schema.encodeSync(Schema.fromJsonString(TurnRequest))

export const queueEntry = (request: TurnRequest): QueueEntry => ({
  key: request.key,
  group: request.group,
  body: encodeRequest(request)
})

export const turnRow = (request: TurnRequest, changes: Partial<TurnRow> = {}): TurnRow => ({
  key: request.key,
  request,
  state: "received",
  attempt: 0,
  resumed: false,
  shown: [],
  receivedAt: 0,
  ...changes
})
