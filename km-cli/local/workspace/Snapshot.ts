/**
 * The state of the workspace as people and tests want to see it: channels, threads, reactions, files, metadata.
 */
import * as Effect from "effect/Effect"
import type { Channel } from "./Channels.ts"
import { type Json, objectsOf, textOf } from "./Json.ts"
import type { EmulatorFailure, SlackRefusal } from "./WorkspaceError.ts"
import { isExtShared, readerOf, shownMessage, storedMessage, type WorkspaceState } from "./WorkspaceState.ts"

/** A channel in short. */
export interface ChannelView {
  readonly id: string
  readonly name: string
  readonly isPrivate: boolean
  readonly isArchived: boolean
  readonly isExtShared: boolean
  readonly creator: string
  readonly members: ReadonlyArray<string>
  /** Top-level messages; replies come with their roots. */
  readonly messageCount: number
}

/** A message with its thread; `message` is what Slack would show to an app, metadata included. */
export interface MessageView {
  readonly ts: string
  readonly message: Json
  readonly replies: ReadonlyArray<MessageView>
}

const everything = { oldest: undefined, latest: undefined, inclusive: true }

/** A channel in short. */
export const channelView = (state: WorkspaceState, channel: Channel): ChannelView => ({
  id: channel.id,
  name: channel.name,
  isPrivate: channel.isPrivate,
  isArchived: channel.isArchived,
  isExtShared: isExtShared(channel),
  creator: channel.creator,
  members: [...channel.members],
  messageCount: state.messages.history(channel.id, everything).length
})

/** One thread: the root and its replies, oldest first. `undefined` when there is no such message. */
export const threadView = Effect.fnUntraced(function*(
  state: WorkspaceState,
  channel: Channel,
  ts: string
): Effect.fn.Return<MessageView | undefined, SlackRefusal | EmulatorFailure> {
  const root = state.messages.rootOf(channel.id, ts)
  const reader = readerOf(state, channel)
  if (root === undefined || reader === undefined) return undefined
  const answer = yield* state.emulator.call(reader, "conversations.replies", { channel: channel.id, ts: root })
  const stored = new Map(objectsOf(answer, "messages").map((message) => [textOf(message, "ts") ?? "", message]))
  const view = (each: string): MessageView => ({
    ts: each,
    message: shownMessage(state, channel, stored.get(each) ?? { ts: each }, true),
    replies: []
  })
  return { ...view(root), replies: state.messages.replies(channel.id, root).map(view) }
})

/** The newest `limit` top-level messages with their threads, oldest first. */
export const channelMessages = Effect.fnUntraced(function*(
  state: WorkspaceState,
  channel: Channel,
  limit: number
): Effect.fn.Return<ReadonlyArray<MessageView>, SlackRefusal | EmulatorFailure> {
  const tops = state.messages.history(channel.id, everything).slice(0, limit).toReversed()
  const views: Array<MessageView> = []
  for (const ts of tops) {
    if (state.messages.find(channel.id, ts)?.root !== undefined) continue
    if (state.messages.replies(channel.id, ts).length > 0) {
      const thread = yield* threadView(state, channel, ts)
      if (thread !== undefined) views.push(thread)
    } else {
      const stored = yield* storedMessage(state, channel, ts)
      views.push({ ts, message: shownMessage(state, channel, stored, true), replies: [] })
    }
  }
  return views
})
