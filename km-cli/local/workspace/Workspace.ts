/**
 * A Slack-compatible workspace for one machine: to try the project without Slack, and to test it against something
 * as strict as Slack. The emulator keeps the state; the front in this folder repairs and completes it.
 *
 * Nothing survives a restart: channels, messages, user ids and tokens are new each time. Whoever kept a channel id
 * finds that channel gone (`channel_not_found`).
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as http from "node:http"
import { CallLog, type LoggedCall } from "./CallLog.ts"
import { Channels } from "./Channels.ts"
import { type Clicking, makeClicking } from "./Clicks.ts"
import { startEmulator } from "./Emulator.ts"
import { slackEventTimeoutMillis, slackRetryDelays, startEventSender } from "./EventSender.ts"
import { type ActiveFault, type FaultRule, Faults } from "./Faults.ts"
import type { FrontParts } from "./Front.ts"
import { controlSecret, hexSecret } from "./Identifiers.ts"
import { type Installing, installing } from "./Installing.ts"
import { MessageIndex } from "./MessageIndex.ts"
import { allMethods } from "./methods/Methods.ts"
import { homeTeamId, People } from "./People.ts"
import { RateTiers } from "./RateTiers.ts"
import { routes } from "./Routes.ts"
import { planOf, seedOf, settle } from "./Setup.ts"
import { channelMessages, type ChannelView, channelView, type MessageView, threadView } from "./Snapshot.ts"
import type { SocketServer } from "./sockets/SocketServer.ts"
import { startSocketServer } from "./sockets/startSocketServer.ts"
import { TokenTable } from "./TokenTable.ts"
import { type Change, Watch } from "./Watch.ts"
import { type EmulatorFailure, type SlackRefusal, WorkspaceError } from "./WorkspaceError.ts"
import { type LimitOptions, type WorkspaceInput, WorkspaceOptions } from "./WorkspaceOptions.ts"
import type { Whispered, WorkspaceState } from "./WorkspaceState.ts"

/** A person of the workspace and the token that posts as if that person typed. */
export interface WorkspacePerson {
  readonly userId: string
  readonly token: string
}

/** A running workspace. It ends with the scope it was started in, or by `close`. */
export interface WorkspaceHandle {
  /** The inspector for people, and the base of everything; ends with `/`. */
  readonly url: string
  /** For `slackApiUrl` of a Slack client; ends with `/api/`. */
  readonly apiUrl: string
  readonly botToken: string
  /** Opens sockets (`apps.connections.open`). */
  readonly appToken: string
  readonly signingSecret: string
  /** Opens `/_km/…`. */
  readonly controlToken: string
  readonly teamId: string
  readonly appId: string
  readonly botUserId: string
  readonly botId: string
  /** By name; outsiders (`external`) included. */
  readonly people: ReadonlyMap<string, WorkspacePerson>
  /** Shakes hands with the URL (`url_verification`), then delivers events there. */
  readonly setEventsUrl: (url: string) => Effect.Effect<void, WorkspaceError>
  /** Socket Mode: switched on and off, its connections, and what may happen to them. */
  readonly sockets: SocketServer
  /** Stops delivering. */
  readonly clearEventsUrl: Effect.Effect<void>
  readonly faults: {
    /** Returns the id of the rule. */
    readonly add: (rule: FaultRule) => Effect.Effect<string>
    /** One rule, or all; returns how many. Held-back events are let go. */
    readonly clear: (id?: string) => Effect.Effect<number>
    readonly list: Effect.Effect<ReadonlyArray<ActiveFault>>
  }
  readonly calls: {
    readonly list: (filter?: {
      readonly method?: string
      readonly since?: number
    }) => Effect.Effect<ReadonlyArray<LoggedCall>>
    readonly clear: Effect.Effect<void>
  }
  /** Waits until every event has been delivered or given up; held-back ones excepted. */
  readonly eventsDelivered: Effect.Effect<void>
  /** Waits for the first change that matches, from `after` on (default: from now). `seq` of a change is a place. */
  readonly waitFor: (matches: (change: Change) => boolean, after?: number) => Effect.Effect<Change>
  /** The number of the last change. */
  readonly lastChange: Effect.Effect<number>
  /** Calls the listener at every change until the result is run. */
  readonly watch: (listener: (change: Change) => void) => Effect.Effect<Effect.Effect<void>>
  readonly channels: Effect.Effect<ReadonlyArray<ChannelView>>
  /** The newest messages of a channel (id or name) with their threads, oldest first. */
  readonly messages: (
    channel: string,
    limit?: number
  ) => Effect.Effect<ReadonlyArray<MessageView>, SlackRefusal | EmulatorFailure>
  /** A thread by its root or any of its replies. */
  readonly thread: (
    channel: string,
    ts: string
  ) => Effect.Effect<MessageView | undefined, SlackRefusal | EmulatorFailure>
  /** What people do with buttons. */
  readonly clicks: Clicking
  /** What one person alone was shown, oldest first. */
  readonly whispers: Effect.Effect<ReadonlyArray<Whispered>>
  /** The app installed again, or taken out. */
  readonly app: Installing
  /** A token stops working (`token_revoked`). */
  readonly revoke: (token: string) => Effect.Effect<boolean>
  readonly close: Effect.Effect<void>
}

const decodeOptions = Schema.decodeUnknownEffect(WorkspaceOptions)

const limitsOf = (limits: LimitOptions | undefined) =>
  limits?.tiers === false ? undefined : {
    scale: typeof limits?.tiers === "number" ? limits.tiers : 1,
    postPerSecond: limits?.postPerSecond ?? 1,
    postBurst: limits?.postBurst ?? 4
  }

const keyedLocks = () => {
  const locks = new Map<string, Semaphore.Semaphore>()
  return (key: string): Semaphore.Semaphore => {
    const known = locks.get(key)
    if (known !== undefined) return known
    const lock = Semaphore.makeUnsafe(1)
    locks.set(key, lock)
    return lock
  }
}

const setupFailure = (error: SlackRefusal | EmulatorFailure): WorkspaceError =>
  new WorkspaceError({
    reason: "emulator-failed",
    detail: `the workspace could not be set up: ${error.message}.`,
    remedy: "Start it again; if it keeps failing, run `make setup` to restore the pinned emulator."
  })

const listen = Effect.fnUntraced(function*(port: number) {
  const server = http.createServer()
  const bound = yield* NodeHttpServer.make(() => server, {
    port,
    host: "127.0.0.1",
    gracefulShutdownTimeout: "100 millis"
  }).pipe(
    Effect.mapError(() =>
      new WorkspaceError({
        reason: "port",
        detail: `port ${port} of 127.0.0.1 cannot be used.`,
        remedy: "Free it, or choose another port (0 picks a free one)."
      })
    )
  )
  return { server, bound, port: "port" in bound.address ? bound.address.port : port }
})

/** Starts a workspace for the life of the scope. Ready when it returns; it listens on 127.0.0.1 only. */
export const start = Effect.fn("Workspace.start")(function*(
  input: WorkspaceInput
): Effect.fn.Return<WorkspaceHandle, WorkspaceError, Scope.Scope> {
  const options = yield* decodeOptions(input).pipe(
    Effect.mapError((error) =>
      new WorkspaceError({
        reason: "options",
        detail: `the options are not right: ${error.message}.`,
        remedy: "See WorkspaceOptions for what may be given."
      })
    )
  )
  const outer = yield* Scope.Scope
  const scope = yield* Scope.fork(outer)
  const building = Effect.gen(function*() {
    const clock = yield* Clock.Clock
    const now = () => clock.currentTimeMillisUnsafe()
    const { bound, port, server } = yield* listen(options.port ?? 0)
    const url = `http://127.0.0.1:${port}/`
    const plan = planOf(options)
    const installation = {
      appId: plan.bot.appId,
      teamId: homeTeamId,
      botUserId: plan.bot.userId,
      signingSecret: options.signingSecret ?? hexSecret(),
      verificationToken: controlSecret()
    }
    const controlToken = controlSecret()
    const tables = { people: new People(), tokens: new TokenTable(), channels: new Channels() }
    const faults = new Faults()
    const watch = new Watch(now)
    const calls = new CallLog()
    const emulator = yield* startEmulator({ baseUrl: url.slice(0, -1), seed: seedOf(plan, options.teamDomain) })
    yield* settle(plan, emulator, tables).pipe(
      Effect.catchTags({
        SlackRefusal: (error) => Effect.fail(setupFailure(error)),
        EmulatorFailure: (error) => Effect.fail(setupFailure(error))
      })
    )
    const eventTimeoutMillis = options.eventTimeoutMillis ?? slackEventTimeoutMillis
    const sockets = yield* startSocketServer({
      appId: plan.bot.appId,
      watch,
      settings: options.sockets ?? {},
      timeoutMillis: eventTimeoutMillis
    })
    const events = yield* startEventSender({
      installation,
      sockets,
      faults,
      watch,
      now,
      retryDelays: options.retryDelays ?? slackRetryDelays,
      timeoutMillis: eventTimeoutMillis
    })
    const state: WorkspaceState = {
      ...tables,
      emulator,
      messages: new MessageIndex(),
      events,
      sockets,
      watch,
      installation,
      bot: plan.bot,
      team: { name: options.teamDomain, domain: options.teamDomain, url },
      emoji: new Set(options.customEmoji ?? []),
      invites: new Map(),
      connect: options.connect ?? {},
      whispered: [],
      writing: keyedLocks(),
      now
    }
    const clicking = makeClicking(state, eventTimeoutMillis)
    const front: FrontParts = {
      state,
      clicking,
      methods: allMethods(state),
      faults,
      tiers: new RateTiers(limitsOf(options.limits), now),
      calls
    }
    yield* bound.serve(routes(front, controlToken))
    // Runs first at the end: open streams and hanging calls would hold the server otherwise.
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        server.close()
        server.closeAllConnections()
      })
    )
    if (options.eventsUrl !== undefined) yield* events.setUrl(options.eventsUrl)
    const people = new Map(
      plan.people.map((person) => [
        person.name,
        { userId: tables.people.byName(person.name)?.userId ?? "", token: person.token }
      ])
    )
    const channelOf = (reference: string) => tables.channels.find(reference) ?? tables.channels.byName(reference)
    const handle: WorkspaceHandle = {
      url,
      apiUrl: `${url}api/`,
      botToken: plan.botToken,
      appToken: plan.appToken,
      sockets,
      signingSecret: installation.signingSecret,
      controlToken,
      teamId: homeTeamId,
      appId: plan.bot.appId,
      botUserId: plan.bot.userId,
      botId: plan.bot.botId,
      people,
      setEventsUrl: events.setUrl,
      clearEventsUrl: Effect.sync(events.clearUrl),
      faults: {
        add: (rule) => Effect.sync(() => faults.add(rule)),
        clear: (id) =>
          Effect.sync(() => {
            const gone = faults.clear(id)
            events.release()
            return gone
          }),
        list: Effect.sync(() => faults.list())
      },
      calls: {
        list: (filter) => Effect.sync(() => calls.list(filter)),
        clear: Effect.sync(() => calls.clear())
      },
      eventsDelivered: events.drained,
      waitFor: (matches, after) =>
        Effect.callback((resume) => {
          const found = after === undefined ? undefined : watch.since(after).find(matches)
          if (found !== undefined) return resume(Effect.succeed(found))
          const stop = watch.listen((change) => {
            if (!matches(change)) return
            stop()
            resume(Effect.succeed(change))
          })
          return Effect.sync(stop)
        }),
      lastChange: Effect.sync(() => watch.seq),
      watch: (listener) =>
        Effect.sync(() => {
          const stop = watch.listen(listener)
          return Effect.sync(stop)
        }),
      channels: Effect.sync(() => tables.channels.all().map((channel) => channelView(state, channel))),
      messages: (reference, limit) => {
        const channel = channelOf(reference)
        return channel === undefined ? Effect.succeed([]) : channelMessages(state, channel, limit ?? 100)
      },
      thread: (reference, ts) => {
        const channel = channelOf(reference)
        return channel === undefined ? Effect.undefined : threadView(state, channel, ts)
      },
      clicks: clicking,
      whispers: Effect.sync(() => [...state.whispered]),
      app: installing(state, plan.botToken),
      revoke: (token) => Effect.sync(() => tables.tokens.revoke(token)),
      close: Scope.close(scope, Exit.void)
    }
    return handle
  })
  return yield* building.pipe(
    Scope.provide(scope),
    Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
  )
})
