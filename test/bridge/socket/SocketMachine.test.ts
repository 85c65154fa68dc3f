import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import {
  type Command,
  deadMillis,
  initial,
  type Input,
  lingerMillis,
  openingMillis,
  type SocketMachine,
  step,
  stoppedMillis,
  tokenLookMillis,
  wakeAt
} from "../../../bridge/socket/SocketMachine.ts"

/** A machine with a clock: what happened, and what it asked for. */
const play = (from = 1_000_000) => {
  let machine = initial(from)
  let now = from
  const asked: Array<Command & { readonly at: number }> = []
  const apply = (input: Input): ReadonlyArray<Command> => {
    const next = step(machine, input, now, 0.5)
    machine = next.machine
    asked.push(...next.commands.map((command) => ({ ...command, at: now })))
    return next.commands
  }
  /** Lets time pass as the driver does: it wakes when the machine wants to, and at the end. Live links are heard. */
  const pass = (millis: number, heard: ReadonlyArray<number> = []) => {
    const end = now + millis
    while (now < end) {
      now = Math.min(end, Math.max(now + 1, wakeAt(machine, now)))
      for (const link of heard) apply({ _tag: "Heard", link })
      apply({ _tag: "Tick" })
    }
  }
  return {
    apply,
    pass,
    tags: (tag: Command["_tag"]) => asked.filter(({ _tag }) => _tag === tag),
    state: (): SocketMachine => machine,
    now: () => now
  }
}

/** With one connection that has said hello. */
const connected = (lifeMillis: number | undefined = 3_600_000) => {
  const socket = play()
  socket.apply({ _tag: "Tick" })
  socket.apply({ _tag: "Hello", link: 1, lifeMillis })
  socket.pass(10_000, [1])
  return socket
}

const linkStates = (machine: SocketMachine) => machine.links.map(({ id, state }) => [id, state])

describe("the machine of the socket", () => {
  it("opens one connection and asks for no other while it lives", () => {
    const socket = connected()
    socket.pass(600_000, [1])
    assert.deepStrictEqual(socket.tags("Open").map(({ at }) => at), [1_000_000])
    assert.isAtLeast(socket.tags("Ping").length, 40)
    assert.isEmpty([...socket.tags("Cut"), ...socket.tags("Close")])
  })

  for (const reason of ["warning", "refresh_requested", "a_word_that_slack_has_not_said_yet"]) {
    it(`has two connections while one takes the place of the other (${reason})`, () => {
      const socket = connected()
      assert.deepStrictEqual(socket.apply({ _tag: "Told", link: 1, reason }), [{ _tag: "Open", link: 2 }])
      assert.deepStrictEqual(linkStates(socket.state()), [[1, "open"], [2, "opening"]])
      socket.pass(500, [1])
      socket.apply({ _tag: "Hello", link: 2, lifeMillis: 3_600_000 })
      assert.deepStrictEqual(linkStates(socket.state()), [[1, "lingering"], [2, "open"]])
      socket.pass(lingerMillis, [1, 2])
      assert.deepStrictEqual(linkStates(socket.state()), [[2, "open"]])
      assert.strictEqual(socket.state().deafSince, undefined)
      // Nothing was missed for certain, so history is looked at for what Slack sent too late.
      assert.deepStrictEqual(
        socket.tags("Missed").slice(1).map((one) => one._tag === "Missed" ? one.to - one.from : 1),
        [
          0
        ]
      )
    })
  }

  it("replaces a connection at four fifths of its life, before Slack says anything", () => {
    const socket = connected(1_000_000)
    socket.pass(789_000, [1])
    assert.lengthOf(socket.tags("Open"), 1)
    socket.pass(1_001, [1])
    assert.deepStrictEqual(socket.tags("Open").map(({ at }) => at), [1_000_000, 1_800_000])
  })

  it("notices within 45 s that nothing comes any more, and counts the gap from the last sign of life", () => {
    const socket = connected()
    const silentFrom = socket.now()
    socket.pass(deadMillis)
    assert.deepStrictEqual(socket.tags("Cut").map(({ at }) => at - silentFrom), [deadMillis])
    assert.deepStrictEqual(socket.state().lastEnding, { reason: "silent", at: socket.now() })
    assert.strictEqual(socket.state().deafSince, silentFrom)
    const [, second] = socket.tags("Open")
    assert.strictEqual(second?.at, socket.now())
    const missed = socket.apply({ _tag: "Hello", link: 2, lifeMillis: undefined })
    assert.deepStrictEqual(missed, [{ _tag: "Missed", from: silentFrom, to: socket.now() }])
  })

  it("waits longer after each failure, up to a minute, and starts anew after a connection that lasts", () => {
    const socket = play()
    socket.apply({ _tag: "Tick" })
    const delays: Array<number> = []
    for (let link = 1; link <= 10; link++) {
      const at = socket.now()
      socket.apply({ _tag: "NotOpened", link, kind: "unreachable", detail: "" })
      socket.pass(socket.state().tryAt - at)
      delays.push(socket.now() - at)
    }
    assert.deepStrictEqual(delays, [1_000, 1_500, 3_000, 6_000, 12_000, 24_000, 45_000, 45_000, 45_000, 45_000])
    assert.strictEqual(socket.state().trouble?.kind, "unreachable")
    socket.apply({ _tag: "Hello", link: 11, lifeMillis: undefined })
    socket.pass(10_000, [11])
    assert.deepInclude(socket.state(), { failures: 0, trouble: undefined })
    socket.apply({ _tag: "Closed", link: 11 })
    assert.lengthOf(socket.tags("Open"), 12)
  })

  it("waits as long as Slack says", () => {
    const socket = play()
    socket.apply({ _tag: "Tick" })
    socket.apply({ _tag: "NotOpened", link: 1, kind: "rate_limited", detail: "", retryAfterMillis: 33_000 })
    socket.pass(32_999)
    assert.lengthOf(socket.tags("Open"), 1)
    socket.pass(1)
    assert.lengthOf(socket.tags("Open"), 2)
  })

  for (const kind of ["auth", "wrong_app", "no_app_token"] as const) {
    it(`stops at what a person must repair (${kind}) and looks for another token`, () => {
      const socket = play()
      socket.apply({ _tag: "Tick" })
      socket.apply({ _tag: "NotOpened", link: 1, kind, detail: "" })
      assert.isTrue(socket.state().stopped)
      socket.pass(stoppedMillis - 1)
      assert.lengthOf(socket.tags("Open"), 1)
      assert.lengthOf(socket.tags("LookAtToken"), Math.floor((stoppedMillis - 1) / tokenLookMillis))
      assert.deepStrictEqual(socket.apply({ _tag: "Renewed" }), [{ _tag: "Open", link: 2 }])
    })
  }

  it("makes no loop of link_disabled: six looks an hour", () => {
    const socket = connected()
    socket.apply({ _tag: "Told", link: 1, reason: "link_disabled" })
    const before = socket.tags("Open").length
    for (let hour = 0; hour < 3_600_000; hour += 1_000) {
      socket.pass(1_000)
      for (const link of socket.state().links) {
        socket.apply({ _tag: "NotOpened", link: link.id, kind: "link_disabled", detail: "" })
      }
    }
    assert.isAtMost(socket.tags("Open").length - before, 6)
    assert.strictEqual(socket.state().trouble?.kind, "link_disabled")
  })

  it("makes no loop of too_many_websockets, and keeps the connection that it has", () => {
    const socket = connected()
    socket.apply({ _tag: "Told", link: 1, reason: "warning" })
    const before = socket.tags("Open").length
    for (let second = 0; second < 3_600; second++) {
      socket.pass(1_000, [1])
      for (const link of socket.state().links.filter(({ state }) => state === "opening")) {
        socket.apply({ _tag: "Told", link: link.id, reason: "too_many_websockets" })
      }
    }
    assert.isAtMost(socket.tags("Open").length - before, 12)
    assert.deepStrictEqual(linkStates(socket.state()), [[1, "open"]])
    assert.strictEqual(socket.state().deafSince, undefined)
  })

  it("gives up a connection that never says hello", () => {
    const socket = play()
    socket.apply({ _tag: "Tick" })
    socket.pass(openingMillis)
    assert.deepInclude(socket.tags("Cut")[0], { link: 1, at: 1_000_000 + openingMillis })
    assert.strictEqual(socket.state().trouble?.kind, "unreachable")
  })

  it("makes no loop of a connection that is told to go as soon as it has come", () => {
    const socket = play()
    socket.apply({ _tag: "Tick" })
    for (let second = 0; second < 600; second++) {
      for (const { id, state } of socket.state().links) {
        if (state === "opening") socket.apply({ _tag: "Hello", link: id, lifeMillis: 3_600_000 })
        socket.apply({ _tag: "Told", link: id, reason: "refresh_requested" })
        socket.apply({ _tag: "Closed", link: id })
      }
      socket.pass(1_000)
    }
    assert.isAtMost(socket.tags("Open").length, 20)
  })

  const Event = Schema.Union([
    Schema.Struct({
      kind: Schema.Literals(["hello", "heard", "closed", "unreachable", "auth", "link_disabled"]),
      which: Schema.Literals([0, 1, 2])
    }),
    Schema.Struct({
      kind: Schema.Literals(["warning", "refresh_requested", "too_many_websockets", "renewed"]),
      which: Schema.Literals([0, 1, 2])
    }),
    Schema.Struct({ kind: Schema.Literal("pass"), millis: Schema.Literals([1, 700, 9_000, 16_000, 50_000, 700_000]) })
  ])

  it.prop(
    "whatever happens: at most two open or opening, tries a second apart, never stuck, deaf exactly while none is open",
    [Schema.Array(Event)],
    ([history]) => {
      const socket = play()
      socket.apply({ _tag: "Tick" })
      const check = () => {
        const machine = socket.state()
        const usable = machine.links.filter(({ state }) => state !== "opening")
        assert.isAtMost(machine.links.length, 2)
        assert.isAtMost(machine.links.filter(({ state }) => state === "opening").length, 1)
        assert.strictEqual(machine.deafSince === undefined, usable.length > 0)
        assert.isTrue(Number.isFinite(wakeAt(machine, socket.now())), "something wakes it")
        if (machine.stopped) assert.isDefined(machine.trouble)
      }
      for (const event of history) {
        if (event.kind === "pass") {
          socket.pass(event.millis)
          check()
          continue
        }
        if (event.kind === "renewed") socket.apply({ _tag: "Renewed" })
        const link = socket.state().links[event.which]?.id
        if (link !== undefined) {
          if (event.kind === "hello") socket.apply({ _tag: "Hello", link, lifeMillis: 60_000 })
          else if (event.kind === "heard") socket.apply({ _tag: "Heard", link })
          else if (event.kind === "closed") socket.apply({ _tag: "Closed", link })
          else if (event.kind === "unreachable" || event.kind === "auth") {
            const opening = socket.state().links.find(({ state }) => state === "opening")
            if (opening !== undefined) {
              socket.apply({ _tag: "NotOpened", link: opening.id, kind: event.kind, detail: "" })
            }
          } else if (event.kind !== "renewed") socket.apply({ _tag: "Told", link, reason: event.kind })
        }
        check()
      }
      const opens = socket.tags("Open").map(({ at }) => at)
      opens.slice(1).forEach((at, index) => assert.isAtLeast(at - (opens[index] ?? 0), 1_000))
      // And it always comes back.
      for (let second = 0; second <= stoppedMillis / 1_000 && socket.state().deafSince !== undefined; second++) {
        socket.pass(1_000)
        const opening = socket.state().links.find(({ state }) => state === "opening")
        if (opening !== undefined) socket.apply({ _tag: "Hello", link: opening.id, lifeMillis: undefined })
      }
      assert.strictEqual(socket.state().deafSince, undefined)
    }
  )
})
