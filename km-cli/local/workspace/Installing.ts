/**
 * What happens to an app that is installed again or taken out. Installing again with other scopes keeps the token; that
 * the bot is out of its channels afterwards was observed by others, and is in no page of Slack's.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { homeTeamId } from "./People.ts"
import type { EmulatorFailure } from "./WorkspaceError.ts"
import { eventTs, type WorkspaceState } from "./WorkspaceState.ts"

export interface Installing {
  /** With these scopes from now on; the bot has to be invited, or to join, again. */
  readonly reinstall: (scopes: ReadonlyArray<string>) => Effect.Effect<void, EmulatorFailure>
  /** `tokens_revoked` and `app_uninstalled` are sent, then the bot's token is worth nothing. */
  readonly uninstall: Effect.Effect<void>
}

export const installing = (state: WorkspaceState, botToken: string): Installing => ({
  reinstall: Effect.fnUntraced(function*(scopes) {
    const bot = state.tokens.find(botToken)
    for (const channel of state.channels.all()) {
      if (bot === undefined || !channel.members.has(state.bot.userId)) continue
      // The emulator lets no last member go; who is in a channel is the front's own knowledge.
      yield* state.emulator.call(bot, "conversations.leave", { channel: channel.id }).pipe(
        Effect.catchTag("SlackRefusal", () => Effect.void)
      )
      channel.members.delete(state.bot.userId)
    }
    state.tokens.enter({
      token: botToken,
      kind: "bot",
      userId: state.bot.userId,
      teamId: homeTeamId,
      botId: state.bot.botId,
      scopes
    })
  }),
  uninstall: Effect.sync(() => {
    const answered = Deferred.makeUnsafe<void>()
    Deferred.doneUnsafe(answered, Exit.void)
    const tell = (event: Record<string, unknown>) =>
      state.events.publish({
        event: { ...event, event_ts: eventTs(state) },
        channel: undefined,
        isExtShared: false,
        answered
      })
    tell({ type: "tokens_revoked", tokens: { oauth: [], bot: [state.bot.userId] } })
    tell({ type: "app_uninstalled" })
    state.tokens.revoke(botToken)
  })
})
