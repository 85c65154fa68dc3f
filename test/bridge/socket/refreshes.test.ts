import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { type SocketWorld, withSocketWorld } from "../../support/SocketWorld.ts"

const times = 200

/** What may happen to a connection, whether Slack announces it, and how long until the bridge can know. */
const kinds: ReadonlyArray<{
  readonly name: string
  readonly announced: boolean
  readonly knownAfter: number
  readonly happen: (world: SocketWorld) => Effect.Effect<void>
}> = [
  { name: "a warning", announced: true, knownAfter: 0, happen: ({ sockets }) => sockets.disconnect("warning") },
  {
    name: "a refresh without warning",
    announced: true,
    knownAfter: 0,
    happen: ({ sockets }) => sockets.disconnect("refresh_requested")
  },
  {
    name: "a refresh whose TCP stays",
    announced: true,
    knownAfter: 0,
    happen: ({ sockets }) => Effect.andThen(sockets.keepTcp(true), sockets.disconnect("refresh_requested"))
  },
  { name: "a drop", announced: false, knownAfter: 0, happen: ({ sockets }) => sockets.drop("all") },
  { name: "a half-open connection", announced: false, knownAfter: 45, happen: ({ sockets }) => sockets.freeze("all") }
]

/** Lets time pass; whatever is open then is heard in between, as it is in a world where frames need no time. */
const pass = Effect.fnUntraced(function*({ say }: SocketWorld, seconds: number) {
  for (let second = 0; second < seconds; second += 5) {
    yield* TestClock.adjust("5 seconds")
    yield* yield* say(1)
  }
})

describe("the socket", () => {
  for (const { announced, happen, knownAfter, name } of kinds) {
    it.effect(
      `loses and doubles nothing in ${times} times ${name}`,
      () =>
        Effect.andThen(
          TestClock.setTime(1_800_000_000_000),
          withSocketWorld((world) =>
            Effect.gen(function*() {
              yield* world.opened(1)
              // The hello itself may be read a moment later.
              yield* pass(world, 10)
              for (let time = 1; time <= times; time++) {
                // A connection that ends sooner is a failure, after which the bridge waits.
                yield* pass(world, 10)
                const before = world.sockets.counts().opened
                yield* happen(world)
                const during = yield* world.say(2)
                if (knownAfter > 0) yield* TestClock.adjust(`${knownAfter} seconds`)
                yield* world.opened(before + 1)
                // Slack tries again after a minute.
                yield* pass(world, announced ? 15 : 70)
                yield* during
              }
              const { doubled, lost, said } = yield* world.tally
              assert.isAtLeast(said, times * 6)
              assert.deepStrictEqual({ doubled, lost }, { doubled: 0, lost: 0 })
              assert.isAtMost(world.sockets.counts().mostOpen, 2)
              if (announced) assert.strictEqual(world.deafMillis(), 0)
            })
          )
        ),
      180_000
    )
  }
})
