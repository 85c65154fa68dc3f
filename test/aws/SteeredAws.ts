/**
 * The AWS engine on moto, whose clock goes with Effect's: each request brings its time, a long poll is many short ones, and
 * time passes only while no request is under way.
 */
import { NodeHttpHandler } from "@smithy/node-http-handler"
import { Clock, Duration, Effect, Layer } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { inject } from "vitest"
import { InstallName } from "../../runtime/domain/sandbox/Ids.ts"
import { Aws, type AwsAround, type AwsSettings } from "../../runtime/engines/aws/Aws.ts"
import { makeAccount } from "../../runtime/engines/aws/makeAccount.ts"
import type { Engine } from "../runtime/ports/Engine.ts"

/** moto delivers nothing at the beginning of its time, where Effect's test clock starts. */
const epoch = 1e12

/** What moto takes for its account. */
export const emulated = {
  region: "us-east-1",
  accountId: "123456789012",
  credentials: { accessKeyId: "emulated", secretAccessKey: "emulated" }
}

interface HttpRequest {
  readonly headers: Record<string, string>
  body?: unknown
}

const turnOfTheLoop = Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))

/** One emulated account's traffic. */
export const makeTraffic = () => {
  let now = epoch
  let requests = 0
  let underWay = 0
  /** How often each waiting receive has looked. */
  const polls = new Set<{ looks: number }>()
  const http = new NodeHttpHandler({})
  const handler = {
    handle: (request: HttpRequest, options: object) => {
      // moto compares strictly: a later request has a later time, by a thousandth of a millisecond.
      requests++
      request.headers["x-km-now"] = (now + (requests % 1000) / 1000).toFixed(3)
      if (request.headers["x-amz-target"] === "AmazonSQS.ReceiveMessage") {
        const body = JSON.parse(new TextDecoder().decode(request.body as Uint8Array))
        request.body = JSON.stringify({ ...body, WaitTimeSeconds: 0 })
        request.headers["content-length"] = String(Buffer.byteLength(String(request.body)))
      }
      return http.handle(request as never, options)
    },
    destroy: () => http.destroy()
  }
  const once: AwsAround = (_request, send) =>
    Effect.gen(function*() {
      now = epoch + (yield* Clock.currentTimeMillis)
      return yield* send
    })
  const around: AwsAround = (request, send) => {
    const wait = "WaitTimeSeconds" in request.input ? Number(request.input.WaitTimeSeconds) : 0
    if (wait === 0) {
      return Effect.suspend(() => {
        underWay++
        return Effect.ensuring(once(request, send), Effect.sync(() => void underWay--))
      })
    }
    return Effect.gen(function*() {
      const until = (yield* Clock.currentTimeMillis) + wait * 1000
      const poll = { looks: 0 }
      polls.add(poll)
      const look = Effect.gen(function*() {
        for (;;) {
          const over = (yield* Clock.currentTimeMillis) >= until
          const answer = yield* once(request, send)
          poll.looks++
          const found = typeof answer === "object" && answer !== null && "Messages" in answer &&
            answer.Messages !== undefined
          if (found || over) return answer
          yield* turnOfTheLoop
        }
      })
      return yield* Effect.ensuring(look, Effect.sync(() => void polls.delete(poll)))
    })
  }
  /** Until nothing is under way, nothing begins by itself, and each waiting receive has looked at what is there now. */
  const quiet = Effect.gen(function*() {
    const waiting = [...polls].map((poll) => ({ poll, enough: poll.looks + 2 }))
    for (let still = 0; still < 4;) {
      yield* turnOfTheLoop
      const looked = waiting.every(({ enough, poll }) => !polls.has(poll) || poll.looks >= enough)
      still = underWay === 0 && looked ? still + 1 : 0
    }
  })
  return { around, handler, quiet }
}

/** Less than a request may take, and what is passed in such steps at most. */
const stepMillis = 5_000
const steppedMillis = 15 * 60_000

let installs = 0
/** A prefix of its own for each test: nothing is ever cleaned up, and nothing meets. */
export const freshInstall = (): InstallName => InstallName.make(`t${process.pid}-${++installs}`)

/** An empty install on moto. `passing` lets its time pass, and Effect's. */
export const openAccount = Effect.fnUntraced(function*(endpoint: string) {
  const traffic = makeTraffic()
  const settings: AwsSettings = {
    ...emulated,
    install: freshInstall(),
    endpoint,
    requestHandler: traffic.handler,
    around: traffic.around
  }
  yield* Effect.orDie(Effect.provide(makeAccount, Aws.layer(settings)))
  const { quiet } = traffic
  const passing = Effect.fnUntraced(function*(duration: Duration.Input) {
    let left = Duration.toMillis(Duration.fromInputUnsafe(duration))
    yield* quiet
    // What looks every few seconds is answered before its patience is over; who passes days has nobody who looks.
    const step = left <= steppedMillis ? stepMillis : left
    for (; left > 0; left -= step) {
      yield* TestClock.adjust(Math.min(step, left))
      yield* quiet
    }
  })
  return { settings, passing }
})

/** With something more between us and the service; what is given first is nearest to us. */
export const withAround = (settings: AwsSettings, ...more: ReadonlyArray<AwsAround>): AwsSettings => ({
  ...settings,
  around: (request, send) => {
    const last = settings.around?.(request, send) ?? send
    return more.reduceRight((inner, around) => around(request, inner), last)
  }
})

/** Ports over `Aws`, as an engine whose time the suites let pass. */
export const onMoto = <Services, E>(layer: Layer.Layer<Services, E, Aws>): Engine<Services | Aws, E> => {
  let passing: (duration: Duration.Input) => Effect.Effect<void> = TestClock.adjust
  return {
    layer: Layer.unwrap(Effect.map(Effect.suspend(() => openAccount(inject("moto"))), (account) => {
      passing = account.passing
      return Layer.provideMerge(layer, Aws.layer(account.settings))
    })),
    passTime: (duration) => Effect.suspend(() => passing(duration)),
    exact: false
  }
}
