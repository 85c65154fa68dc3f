/**
 * The bridge in Socket Mode against the local workspace's endpoint, over real sockets and on the clock of the caller: a
 * test's, which moves when told, or a bench's, which runs fast. The Web API is a table; its history holds what was sent.
 */
import { Clock, Deferred, Effect, Exit, type Scope } from "effect"
import { CatchUp } from "../../bridge/events/CatchUp.ts"
import { SocketMode } from "../../bridge/socket/SocketMode.ts"
import type { SocketServer } from "../../km-cli/local/workspace/sockets/SocketServer.ts"
import { startSocketServer } from "../../km-cli/local/workspace/sockets/startSocketServer.ts"
import { Watch } from "../../km-cli/local/workspace/Watch.ts"
import { MessageTs, slackTurnKey, TeamId } from "../../runtime/domain/sandbox/Ids.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import { ada, bridgeOverScript, channel, scriptedSlack, secretsStored } from "../bridge/scripted.ts"
import { rowOf, sandbox } from "../bridge/world.ts"

const team = TeamId.make("T0TEAM0001")
const appId = "A0SOCKETS1"

/** Slack's repetitions. Source: docs.slack.dev/apis/events-api; that sockets have them too is assumed. */
const repetitions = [0, 60_000, 300_000]

export interface SocketWorld {
  readonly sockets: SocketServer
  readonly watch: Watch
  /** Sends so many messages, as Slack would; the result waits until they are acknowledged, or given up. */
  readonly say: (count: number) => Effect.Effect<Effect.Effect<void>>
  /** Waits for so many connections in all since the start. */
  readonly opened: (count: number) => Effect.Effect<void>
  /** Virtual milliseconds in which no connection was open, since the first. */
  readonly deafMillis: () => number
  /** Of everything said: what is in the queue, once or more often. */
  readonly tally: Effect.Effect<{ readonly said: number; readonly lost: number; readonly doubled: number }>
  readonly status: SocketMode["Service"]["status"]
}

/** Starts both ends, runs `use` with them, and ends them. */
export const withSocketWorld = <A, E>(
  use: (world: SocketWorld) => Effect.Effect<A, E, Scope.Scope>
): Effect.Effect<A, E> =>
  Effect.gen(function*() {
    const clock = yield* Clock.Clock
    const now = () => clock.currentTimeMillisUnsafe()
    const watch = new Watch(now)
    const sockets = yield* Effect.orDie(
      startSocketServer({ appId, watch, settings: { enabled: true }, timeoutMillis: 3_000 })
    )
    const messages: Array<{ readonly ts: string; readonly user: string; readonly text: string }> = []
    const slack = scriptedSlack({
      "apps.connections.open": () => Effect.orDie(Effect.map(sockets.ticket, (url) => ({ ok: true, url }))),
      "conversations.history": (args) => ({
        ok: true,
        messages: messages.filter(({ ts }) => Number(ts) > Number(args["oldest"])).map((message) => ({
          type: "message",
          ...message
        }))
      })
    })
    let deaf = 0
    let since: number | undefined
    watch.listen(({ at, data }) => {
      const usable = sockets.connections().filter(({ state }) => state === "greeted").length
      if (data["event"] === "opened" && since !== undefined) {
        deaf += at - since
        since = undefined
      } else if (usable === 0) since ??= at
    })

    return yield* Effect.gen(function*() {
      yield* Effect.orDie(secretsStored)
      yield* Effect.orDie((yield* Sandboxes).insert(rowOf(sandbox, channel, { createdAt: now() - 3_600_000 })))
      const queue = yield* TurnQueue
      yield* Effect.orDie(queue.create(sandbox))
      const mode = yield* SocketMode
      yield* Effect.forkScoped(mode.run)
      yield* Effect.forkScoped((yield* CatchUp).forever)
      const scope = yield* Effect.scope
      let last = 0

      const deliver = Effect.fnUntraced(function*(message: (typeof messages)[number]) {
        const payload = {
          type: "event_callback",
          team_id: team,
          api_app_id: appId,
          event_id: `Ev${message.ts.replace(".", "")}`,
          event: { type: "message", channel, team, ...message },
          authorizations: [{ team_id: team, user_id: "U0BOT00001", is_bot: true }],
          is_ext_shared_channel: false
        }
        let reason: string | undefined
        for (let num = 0; num <= repetitions.length; num++) {
          if (num > 0) yield* Effect.sleep(repetitions[num - 1] ?? 0)
          const retry = reason === undefined ? {} : { retry: { num, reason } }
          const attempt = yield* sockets.deliver({ type: "events_api", payload, ...retry })
          if (attempt.ok) return
          reason = attempt.reason
        }
      })

      /** Waits for a change after which it is so. */
      const until = (done: () => boolean) =>
        Effect.callback<void>((resume) => {
          const look = () => {
            if (!done()) return
            stop()
            resume(Effect.void)
          }
          const stop = watch.listen(look)
          look()
          return Effect.sync(stop)
        })

      return yield* use({
        sockets,
        watch,
        say: (count) =>
          Effect.map(
            Effect.forEach(Array.from({ length: count }), () => {
              last = Math.max(last + 1, now() * 1_000)
              const text = String(messages.length)
              const ts = `${Math.floor(last / 1_000_000)}.${String(last % 1_000_000).padStart(6, "0")}`
              const message = { ts, user: ada, text }
              messages.push(message)
              const done = Deferred.makeUnsafe<void>()
              const delivery = Effect.ensuring(
                deliver(message),
                Effect.sync(() => Deferred.doneUnsafe(done, Exit.void))
              )
              return Effect.as(Effect.forkIn(delivery, scope), Deferred.await(done))
            }),
            (all) => Effect.forEach(all, (one) => one, { discard: true })
          ),
        opened: (count) => until(() => sockets.counts().opened >= count),
        deafMillis: () => deaf,
        tally: Effect.gen(function*() {
          const keys = (yield* Effect.orDie(queue.keys(sandbox))).map(({ key }) => String(key))
          const distinct = new Set(keys)
          const lost = messages.filter(({ ts }) => !distinct.has(slackTurnKey(team, channel, MessageTs.make(ts))))
          return { said: messages.length, lost: lost.length, doubled: keys.length - distinct.size }
        }),
        status: mode.status
      })
    }).pipe(Effect.provide(bridgeOverScript(slack, { transport: "socket" })))
  }).pipe(Effect.scoped)
