/** Every way in which a connection of Socket Mode ends, again and again, with messages before, during and after. */
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { type SocketWorld, withSocketWorld } from "./SocketWorld.ts"

/** What may happen to a connection. */
export interface Refresh {
  readonly name: string
  /** Slack says so before, and leaves the connection as it is for a while. */
  readonly announced: boolean
  /** Seconds until the bridge can know. */
  readonly knownAfter: number
  readonly happen: (world: SocketWorld) => Effect.Effect<void>
}

export const refreshes: ReadonlyArray<Refresh> = [
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

/** Lets time pass; whatever is open then is heard in between, as it is where frames need no time. */
const pass = Effect.fnUntraced(function*({ say }: SocketWorld, seconds: number) {
  for (let second = 0; second < seconds; second += 5) {
    yield* TestClock.adjust("5 seconds")
    yield* yield* say(1)
  }
})

/** So many times, on the test's clock, which stands still while the two ends talk to each other. */
export const refreshed = ({ announced, happen, knownAfter }: Refresh, times: number) =>
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
        return { said, lost, doubled, mostOpen: world.sockets.counts().mostOpen, deafMillis: world.deafMillis() }
      })
    )
  )
