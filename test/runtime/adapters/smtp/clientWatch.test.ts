/** How long a client may keep a connection, and what counts as one client. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { peerOf, watchClient } from "../../../../runtime/adapters/smtp/ClientWatch.ts"

const limits = { commandMillis: 60_000, commandsMillis: 120_000, sessionMillis: 3_600_000 }

const watched = Effect.gen(function*() {
  let ends = 0
  const client = yield* watchClient(limits, () => void ends++)
  return { client, ends: () => ends }
})

describe("a watched client", () => {
  it.effect("has so long for each command, from the answer to the one before", () =>
    Effect.gen(function*() {
      const { client, ends } = yield* watched
      yield* TestClock.adjust("59999 millis")
      client.answered()
      yield* TestClock.adjust("59999 millis")
      assert.strictEqual(ends(), 0)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(ends(), 1)
    }))

  it.effect("has so long for the first command of the next message", () =>
    Effect.gen(function*() {
      const { client, ends } = yield* watched
      client.began()
      // The answer that asks for the data is one too.
      client.answered()
      yield* TestClock.adjust("10 minutes")
      client.finished(true)
      client.answered()
      yield* TestClock.adjust("59999 millis")
      assert.strictEqual(ends(), 0)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(ends(), 1)
    }))

  it.effect("has so long for all commands until a message begins, and again after each that was stored", () =>
    Effect.gen(function*() {
      const { client, ends } = yield* watched
      /** Answered every 30 seconds, so that each command is in time. */
      const commands = Effect.gen(function*() {
        for (let command = 0; command < 3; command++) {
          yield* TestClock.adjust("30 seconds")
          client.answered()
        }
        yield* TestClock.adjust("29999 millis")
      })
      yield* commands
      client.began()
      yield* TestClock.adjust("10 minutes")
      client.finished(true)
      yield* commands
      assert.strictEqual(ends(), 0)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(ends(), 1)
    }))

  it.effect("earns nothing by what is refused but the time to say goodbye", () =>
    Effect.gen(function*() {
      const { client, ends } = yield* watched
      client.began()
      yield* TestClock.adjust("1 minute")
      client.finished(false)
      yield* TestClock.adjust("30 seconds")
      client.answered()
      yield* TestClock.adjust("29999 millis")
      assert.strictEqual(ends(), 0)
      client.began()
      yield* TestClock.adjust("1 minute")
      client.finished(false)
      yield* TestClock.adjust("9999 millis")
      assert.strictEqual(ends(), 0)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(ends(), 1)
    }))

  it.effect("is at its end after an hour, once no message is under way, whatever it stored", () =>
    Effect.gen(function*() {
      const { client, ends } = yield* watched
      for (let message = 1; message <= 60; message++) {
        yield* TestClock.adjust("59 seconds")
        client.began()
        client.finished(true)
      }
      client.began()
      yield* TestClock.adjust("5 minutes")
      assert.strictEqual(ends(), 0)
      client.finished(true)
      yield* TestClock.adjust("0 millis")
      assert.strictEqual(ends(), 1)
    }))

  it.effect("is forgotten when it is gone", () =>
    Effect.gen(function*() {
      const { client, ends } = yield* watched
      client.gone()
      yield* TestClock.adjust("2 hours")
      assert.strictEqual(ends(), 0)
    }))

  it("counts by IPv4 address, and by the network that one host may have of IPv6", () => {
    const same = [
      ["192.0.2.1", "::ffff:192.0.2.1"],
      ["2001:db8:1:2::1", "2001:DB8:1:2:ffff:ffff:ffff:ffff", "2001:0db8:0001:0002::"],
      ["fe80::1", "fe80::2%eth0"],
      ["::1"]
    ]
    const peers = same.map((addresses) => new Set(addresses.map(peerOf)))
    for (const peer of peers) assert.strictEqual(peer.size, 1)
    assert.strictEqual(new Set(peers.flatMap((peer) => [...peer])).size, same.length)
    assert.notStrictEqual(peerOf("2001:db8:1:3::1"), peerOf("2001:db8:1:2::1"))
    assert.notStrictEqual(peerOf("192.0.2.2"), peerOf("192.0.2.1"))
  })
})
