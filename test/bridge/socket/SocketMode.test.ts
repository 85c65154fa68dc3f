import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Layer, Redacted } from "effect"
import { once } from "node:events"
import { WebSocket } from "ws"
import { eventErrors } from "../../../bridge/BridgeErrors.ts"
import { CatchUp } from "../../../bridge/events/CatchUp.ts"
import { Heard } from "../../../bridge/events/Heard.ts"
import { socketErrors } from "../../../bridge/socket/SocketErrors.ts"
import { isTrusted, SocketMode } from "../../../bridge/socket/SocketMode.ts"
import type { SocketStatus } from "../../../bridge/socket/SocketStatus.ts"
import { Secrets } from "../../../runtime/ports/Secrets.ts"
import { StoreError } from "../../../runtime/ports/StoreError.ts"
import { TurnQueue } from "../../../runtime/ports/TurnQueue.ts"
import { untilReal } from "../../support/untilReal.ts"
import { bridgeOver, codeOf, furnish, room, say, send, sendEvent, waiting } from "../world.ts"

type World = Effect.Success<ReturnType<typeof room>>

/** A workspace in Socket Mode; what its making told of is given up, since nobody was connected. */
const socketRoom = (input: Parameters<typeof room>[0] = {}) =>
  Effect.tap(room({ sockets: { enabled: true }, ...input }), ({ workspace }) => workspace.eventsDelivered)

const overSockets = <A, E, R>(
  { workspace, channel }: World,
  use: Effect.Effect<A, E, R>,
  options: Parameters<typeof bridgeOver>[1] = {}
) =>
  Effect.gen(function*() {
    yield* furnish(workspace, channel)
    yield* Effect.forkScoped((yield* SocketMode).run)
    yield* Effect.forkScoped((yield* CatchUp).forever)
    return yield* use
  }).pipe(Effect.provide(bridgeOver(workspace, { transport: "socket", ...options })))

/** Waits for the first status that is so. */
const statusWhen = (so: (status: SocketStatus) => boolean) =>
  Effect.flatMap(
    SocketMode,
    ({ status }) => untilReal("the socket's status", Effect.map(status, (now) => so(now) ? now : undefined))
  )

const connected = statusWhen(({ state }) => state === "connected")

const inQueue = (count: number) =>
  Effect.flatMap(TurnQueue, (queue) =>
    untilReal(
      "the messages",
      Effect.map(
        Effect.orDie(Effect.provideService(waiting, TurnQueue, queue)),
        (entries) => entries.length >= count ? entries : undefined
      )
    ))

describe("Socket Mode", () => {
  it.live("notes what it hears, and what it refuses, as requests by HTTP are noted", () =>
    Effect.gen(function*() {
      const world = yield* socketRoom()
      yield* overSockets(
        world,
        Effect.gen(function*() {
          yield* connected
          const heard = yield* Heard
          assert.isUndefined((yield* heard.state).firstAt)
          yield* say(world.ada, world.channel, "over a socket")
          yield* world.workspace.eventsDelivered
          const { eventAt, firstAt, refused } = yield* heard.state
          assert.isNumber(firstAt)
          assert.isNumber(eventAt)
          assert.isUndefined(refused)
        })
      )
      const other = yield* socketRoom()
      yield* overSockets(
        other,
        Effect.gen(function*() {
          yield* connected
          yield* say(other.ada, other.channel, "of another workspace")
          yield* other.workspace.eventsDelivered
          assert.strictEqual((yield* (yield* Heard).state).refused?.code, "KM-SLK-008")
        }),
        { team: "T0OTHER001" }
      )
    }))

  it.live("takes a message and acknowledges it only when it is stored", () =>
    Effect.gen(function*() {
      const world = yield* socketRoom()
      const asked = yield* Deferred.make<void>()
      const stored = yield* Deferred.make<void>()
      const slow = Layer.effect(
        TurnQueue,
        Effect.map(TurnQueue, (inner) =>
          TurnQueue.of({
            ...inner,
            accept: (to, entry, terms) =>
              Deferred.succeed(asked, undefined).pipe(
                Effect.andThen(Deferred.await(stored)),
                Effect.andThen(inner.accept(to, entry, terms))
              )
          }))
      )
      yield* overSockets(
        world,
        Effect.gen(function*() {
          yield* connected
          const ts = yield* say(world.ada, world.channel, "over a socket")
          yield* Deferred.await(asked)
          assert.strictEqual(world.workspace.sockets.counts().acknowledged, 0)
          yield* Deferred.succeed(stored, undefined)
          yield* world.workspace.eventsDelivered
          assert.strictEqual(world.workspace.sockets.counts().acknowledged, 1)
          const [entry] = yield* waiting
          assert.include(String(entry?.key), ts)
        }),
        { queue: slow }
      )
    }))

  it.live("leaves what cannot be stored to Slack's repetition, and stores it once", () =>
    Effect.gen(function*() {
      const world = yield* socketRoom({ eventTimeoutMillis: 100 })
      let refusals = 2
      const failing = Layer.effect(
        TurnQueue,
        Effect.map(TurnQueue, (inner) =>
          TurnQueue.of({
            ...inner,
            accept: (to, entry, terms) =>
              refusals-- > 0
                ? Effect.fail(
                  new StoreError({
                    port: "TurnQueue",
                    operation: "accept",
                    reason: "Full",
                    detail: "",
                    cause: undefined
                  })
                )
                : inner.accept(to, entry, terms)
          }))
      )
      yield* overSockets(
        world,
        Effect.gen(function*() {
          yield* connected
          yield* say(world.ada, world.channel, "the disk is full")
          yield* world.workspace.eventsDelivered
          assert.lengthOf(yield* waiting, 1)
        }),
        { queue: failing }
      )
    }))

  it.live("closes /events and shows its state under /healthz", () =>
    Effect.gen(function*() {
      const world = yield* socketRoom()
      yield* overSockets(
        world,
        Effect.gen(function*() {
          yield* connected
          const answer = yield* sendEvent(world.workspace.signingSecret, "{}")
          assert.strictEqual(answer.status, 404)
          assert.strictEqual(codeOf(answer), eventErrors.socket_mode.code)
          assert.strictEqual(answer.headers.get("x-slack-no-retry"), "1")
          const health = yield* send("GET", "/healthz", {}, undefined)
          assert.deepInclude(health.json, { ok: true, transport: "socket" })
          assert.deepInclude(health.json["socket"], {
            state: "connected",
            connections: 1,
            trouble: null,
            deafSince: null
          })
        })
      )
    }))

  it.live("fetches what was written while it was away, at once when it is back", () =>
    Effect.gen(function*() {
      const world = yield* socketRoom({ retryDelays: [0, 1, 1] })
      yield* overSockets(
        world,
        Effect.gen(function*() {
          yield* connected
          yield* world.workspace.faults.add({ event: "message", times: 0, fault: { kind: "drop" } })
          yield* say(world.ada, world.channel, "one")
          yield* say(world.ada, world.channel, "two")
          yield* world.workspace.eventsDelivered
          assert.lengthOf(yield* waiting, 0)
          yield* world.workspace.sockets.drop("all")
          const entries = yield* inQueue(2)
          assert.deepStrictEqual(entries.map(({ body }) => /"text":"(\w+)"/.exec(body)?.[1]), ["one", "two"])
          assert.strictEqual((yield* connected).lastDisconnect?.reason, "dropped")
        })
      )
    }))

  it.live("survives whatever a frame may be, and goes on taking messages", () =>
    Effect.gen(function*() {
      const world = yield* socketRoom({ eventTimeoutMillis: 1_000 })
      const { sockets } = world.workspace
      yield* overSockets(
        world,
        Effect.gen(function*() {
          yield* connected
          for (
            const text of ["", "not json", "[]", "null", "7", "{}", `{"type":"disconnect"`, "{\"type\":\"hello\"}"]
          ) {
            yield* sockets.sendText(text)
          }
          const limited = yield* sockets.deliver({
            type: "events_api",
            payload: { type: "app_rate_limited", team_id: world.workspace.teamId, api_app_id: world.workspace.appId }
          })
          assert.isTrue(limited.ok)
          for (const type of ["interactive", "slash_commands", "something_new"]) {
            assert.isTrue((yield* sockets.deliver({ type, payload: { type: "block_actions" } })).ok)
          }
          for (const payload of [{}, { type: "event_callback" }, { type: "event_callback", team_id: "T0OTHER001" }]) {
            assert.isTrue(
              (yield* sockets.deliver({ type: "events_api", payload })).ok,
              "what never gets better is done"
            )
          }
          yield* say(world.ada, world.channel, "still there")
          yield* world.workspace.eventsDelivered
          assert.lengthOf(yield* waiting, 1)
          const status = yield* (yield* SocketMode).status
          assert.deepInclude(status.envelopes, { unknown: 2, refused: 4, unreadable: 7 })
        })
      )
    }))

  it.live("is told that Socket Mode was switched off, and asks no more", () =>
    Effect.gen(function*() {
      const world = yield* socketRoom()
      const { sockets } = world.workspace
      yield* overSockets(
        world,
        Effect.gen(function*() {
          yield* connected
          yield* sockets.switch(false)
          const status = yield* statusWhen(({ state }) => state === "stopped")
          assert.deepInclude(status.trouble, { name: "link_disabled", ...socketErrors.link_disabled })
          assert.strictEqual(status.lastDisconnect?.reason, "link_disabled")
          assert.strictEqual(sockets.counts().tickets, 1)
        })
      )
    }))

  it.live("says that others hold all connections", () =>
    Effect.gen(function*() {
      const world = yield* socketRoom()
      const { sockets } = world.workspace
      for (let number = 1; number <= 10; number++) {
        const socket = new WebSocket(yield* sockets.ticket)
        yield* Effect.promise(() => once(socket, "message"))
      }
      yield* overSockets(
        world,
        Effect.gen(function*() {
          const status = yield* statusWhen(({ trouble }) => trouble !== null)
          assert.deepInclude(status.trouble, { name: "too_many_websockets", ...socketErrors.too_many_websockets })
          assert.strictEqual(status.state, "waiting")
          assert.isAtLeast((status.trouble?.retryAt ?? 0) - (status.trouble?.since ?? 0), 15_000)
        })
      )
    }))

  for (
    const [name, prepare, state] of [
      ["auth", (world: World) => Effect.asVoid(world.workspace.revoke(world.workspace.appToken)), "stopped"],
      ["no_app_token", () => Effect.flatMap(Secrets, (secrets) => secrets.delete("slack/app-token")), "stopped"],
      ["link_disabled", (world: World) => world.workspace.sockets.switch(false), "stopped"],
      [
        "rate_limited",
        (world: World) =>
          Effect.asVoid(world.workspace.faults.add({
            method: "apps.connections.open",
            fault: { kind: "rate-limit", retryAfterSeconds: 30 }
          })),
        "waiting"
      ],
      [
        "unreachable",
        (world: World) =>
          Effect.asVoid(
            world.workspace.faults.add({ method: "apps.connections.open", times: 0, fault: { kind: "server-error" } })
          ),
        "waiting"
      ],
      [
        "refused",
        (world: World) =>
          Effect.asVoid(world.workspace.faults.add({
            method: "apps.connections.open",
            times: 0,
            fault: { kind: "refuse", error: "a_word_of_tomorrow" }
          })),
        "waiting"
      ]
    ] as const
  ) {
    it.live(`shows ${name} with its code and what to do`, () =>
      Effect.gen(function*() {
        const world = yield* socketRoom()
        yield* Effect.gen(function*() {
          yield* furnish(world.workspace, world.channel)
          yield* prepare(world)
          yield* Effect.forkScoped((yield* SocketMode).run)
          const status = yield* statusWhen(({ trouble }) => trouble !== null)
          assert.strictEqual(status.state, state)
          assert.deepInclude(status.trouble, { name, ...socketErrors[name] })
          assert.isAbove((status.trouble?.retryAt ?? 0) - (status.trouble?.since ?? 0), 400)
        }).pipe(Effect.provide(bridgeOver(world.workspace, { transport: "socket" })))
      }))
  }

  it.live("refuses a socket of another app", () =>
    Effect.gen(function*() {
      const world = yield* socketRoom()
      const other = yield* socketRoom()
      yield* Effect.gen(function*() {
        yield* furnish(world.workspace, world.channel)
        yield* (yield* Secrets).put("slack/app-token", Redacted.make(world.workspace.appToken))
        yield* Effect.forkScoped((yield* SocketMode).run)
        const status = yield* statusWhen(({ trouble }) => trouble !== null)
        assert.deepInclude(status.trouble, { name: "wrong_app", code: socketErrors.wrong_app.code })
        assert.strictEqual(status.state, "stopped")
      }).pipe(
        Effect.provide(bridgeOver({ ...world.workspace, appId: other.workspace.appId }, { transport: "socket" }))
      )
    }))

  it("trusts the address of a socket only where the API itself is", () => {
    const slack = "https://slack.com/api/"
    for (const url of ["wss://wss-primary.slack.com/link/?ticket=1", "wss://slack.com/link"]) {
      assert.isTrue(isTrusted(url, slack), url)
    }
    for (
      const url of [
        "ws://wss-primary.slack.com/",
        "wss://slack.com.evil.test/",
        "wss://evilslack.com/",
        "https://slack.com/",
        "",
        "wss://127.0.0.1/"
      ]
    ) assert.isFalse(isTrusted(url, slack), url)
    assert.isTrue(isTrusted("ws://127.0.0.1:4000/link/?ticket=1", "http://127.0.0.1:3000/api/"))
    assert.isFalse(isTrusted("ws://127.0.0.2:4000/", "http://127.0.0.1:3000/api/"))
    assert.isTrue(isTrusted("wss://wss.slack-gov.com/", "https://slack-gov.com/api/"))
  })
})
