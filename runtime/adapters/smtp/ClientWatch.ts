/**
 * What one client may take of the door: a share of the connections, and time. The server's own limit is for silence, which one
 * byte now and then ends, so a few clients that send nothing of use could keep everybody else out for ever.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { isIPv4 } from "node:net"

/** Milliseconds that are left at least after a message was refused: to say goodbye, or to begin the next one. */
const breathMillis = 10_000

/**
 * Whoever counts as one client: an IPv4 address, or the 64-bit network of an IPv6 address, all of which one host may use.
 * Source: RFC 4291 §2.5.1, RFC 7707 §2.
 */
export const peerOf = (address: string): string => {
  const bare = address.replace(/%.*$/, "")
  const mapped = /^::ffff:([0-9.]+)$/i.exec(bare)?.[1] ?? bare
  if (isIPv4(mapped)) return mapped
  const [head = "", tail] = bare.toLowerCase().split("::")
  const left = head === "" ? [] : head.split(":")
  const right = tail === undefined || tail === "" ? [] : tail.split(":")
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length)
  const groups = [...left, ...Array.from({ length: zeros }, () => "0"), ...right]
  return groups.slice(0, 4).map((group) => group.replace(/^0+(?=.)/, "")).join(":")
}

export interface WatchLimits {
  /** Milliseconds for one command, from the answer to the one before to its end. */
  readonly commandMillis: number
  /** Milliseconds for all the commands from a connection's begin, or a stored message, to the next message's data. */
  readonly commandsMillis: number
  /** Milliseconds after which a connection ends once no message is under way. */
  readonly sessionMillis: number
}

/** One connection, from its beginning. */
export interface WatchedClient {
  /** It was answered: the time for its next command begins. */
  readonly answered: () => void
  /** A message's data begins: from now on its own limit counts. */
  readonly began: () => void
  /** It is over. Only what was stored earns more time. */
  readonly finished: (stored: boolean) => void
  /** The connection is gone. */
  readonly gone: () => void
}

/** `end` is called once, when the time is over and no message is under way. */
export const watchClient = Effect.fnUntraced(function*(limits: WatchLimits, end: () => void) {
  const clock = yield* Clock.Clock
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  const now = () => clock.currentTimeMillisUnsafe()
  const last = now() + limits.sessionMillis
  let until = now() + limits.commandsMillis
  let timer: Fiber.Fiber<void> | undefined
  const stop = () => {
    timer?.interruptUnsafe()
    timer = undefined
  }
  const arm = () => {
    stop()
    const at = Math.min(now() + limits.commandMillis, until, last)
    timer = runFork(Effect.andThen(Effect.sleep(Math.max(0, at - now())), Effect.sync(end)))
  }
  arm()
  return {
    // While a message is under way nothing runs.
    answered: () => {
      if (timer !== undefined) arm()
    },
    began: stop,
    finished: (stored) => {
      until = stored ? now() + limits.commandsMillis : Math.max(until, now() + breathMillis)
      arm()
    },
    gone: stop
  } satisfies WatchedClient
})
