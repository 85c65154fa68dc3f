/** Spans really leave the process: a collector on loopback sees them, with the parent that was handed over. */
import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Effect, Layer, Tracer } from "effect"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { layer } from "../../../../runtime/adapters/telemetry/Telemetry.ts"

interface Received {
  readonly path: string
  readonly body: string
}

const collector = Effect.acquireRelease(
  Effect.callback<{ readonly url: string; readonly received: Array<Received>; readonly close: () => void }>(
    (resume) => {
      const received: Array<Received> = []
      const server = createServer((request, response) => {
        let body = ""
        request.on("data", (chunk) => body += chunk)
        request.on("end", () => {
          received.push({ path: request.url ?? "", body })
          response.setHeader("content-type", "application/json").end("{}")
        })
      })
      server.listen(0, "127.0.0.1", () => {
        const { port } = server.address() as AddressInfo
        resume(Effect.succeed({ url: `http://127.0.0.1:${port}`, received, close: () => server.close() }))
      })
    }
  ),
  ({ close }) => Effect.sync(close)
)

const work = Effect.logInfo("turn settled").pipe(
  Effect.annotateLogs({ turn: "T1:C1:1.1" }),
  Effect.withSpan("Turn.run", {
    parent: Tracer.externalSpan({ traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331" })
  })
)

const env = (values: Record<string, string>) => ConfigProvider.layer(ConfigProvider.fromUnknown(values))

describe("Telemetry", () => {
  it.live("exports spans and logs when an endpoint is named", () =>
    Effect.gen(function*() {
      const { url, received } = yield* collector
      yield* work.pipe(Effect.provide(
        layer("km-test", "0").pipe(Layer.provide(env({ OTEL_EXPORTER_OTLP_ENDPOINT: url })))
      ))
      const traces = received.filter(({ path }) => path === "/v1/traces").map(({ body }) => body).join("\n")
      assert.include(traces, "\"Turn.run\"")
      assert.include(traces, "0af7651916cd43dd8448eb211c80319c")
      assert.include(traces, "b7ad6b7169203331")
      assert.include(traces, "km-test")
      const logs = received.filter(({ path }) => path === "/v1/logs").map(({ body }) => body).join("\n")
      assert.include(logs, "T1:C1:1.1")
    }))

  it.live("exports nothing when none is named, or when it is switched off", () =>
    Effect.gen(function*() {
      const { url, received } = yield* collector
      yield* work.pipe(Effect.provide(layer("km-test", "0").pipe(Layer.provide(env({})))))
      yield* work.pipe(Effect.provide(
        layer("km-test", "0").pipe(
          Layer.provide(env({ OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_SDK_DISABLED: "true" }))
        )
      ))
      assert.deepStrictEqual(received, [])
      assert.strictEqual(yield* Config.String("X").pipe(Config.withDefault("unset")), "unset")
    }))
})
