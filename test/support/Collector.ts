/** A small OTLP collector on loopback: what programs export over HTTP as JSON, spans read out of it. */
import { Effect, Schema, type Scope } from "effect"
import { createServer, type Server } from "node:http"

const Attribute = Schema.Struct({
  key: Schema.String,
  value: Schema.Record(Schema.String, Schema.Unknown)
})
const Traces = Schema.Struct({
  resourceSpans: Schema.Array(Schema.Struct({
    resource: Schema.Struct({ attributes: Schema.Array(Attribute) }),
    scopeSpans: Schema.Array(Schema.Struct({
      spans: Schema.Array(Schema.Struct({
        traceId: Schema.String,
        spanId: Schema.String,
        parentSpanId: Schema.optionalKey(Schema.NullOr(Schema.String)),
        name: Schema.String,
        startTimeUnixNano: Schema.String,
        endTimeUnixNano: Schema.String,
        attributes: Schema.Array(Attribute)
      }))
    }))
  }))
})
const decodeTraces = Schema.decodeUnknownSync(Schema.fromJsonString(Traces))

/** A span that was exported; `service` is the resource's `service.name`. */
export interface CollectedSpan {
  readonly service: string
  readonly traceId: string
  readonly spanId: string
  readonly parent: string | undefined
  readonly name: string
  /** Unix milliseconds, with their fraction. */
  readonly start: number
  readonly end: number
  readonly attributes: Readonly<Record<string, string>>
}

export interface Collector {
  /** For `OTEL_EXPORTER_OTLP_ENDPOINT`. */
  readonly url: string
  readonly spans: () => ReadonlyArray<CollectedSpan>
  /** Every body that came, of all signals, as it was sent. */
  readonly bodies: () => ReadonlyArray<string>
}

const attributesOf = (list: ReadonlyArray<typeof Attribute.Type>): Record<string, string> =>
  Object.fromEntries(list.map(({ key, value }) => [key, String(Object.values(value)[0])]))

const millisOf = (nanoseconds: string): number => Number(BigInt(nanoseconds) / 1_000n) / 1_000

const spansOf = (body: string): ReadonlyArray<CollectedSpan> =>
  decodeTraces(body).resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => ({
        service: attributesOf(resource.attributes)["service.name"] ?? "",
        traceId: span.traceId,
        spanId: span.spanId,
        parent: span.parentSpanId ?? undefined,
        name: span.name,
        start: millisOf(span.startTimeUnixNano),
        end: millisOf(span.endTimeUnixNano),
        attributes: attributesOf(span.attributes)
      }))
    )
  )

/** Takes everything until the scope closes. */
export const startCollector: Effect.Effect<Collector, never, Scope.Scope> = Effect.gen(function*() {
  const received: Array<{ readonly path: string; readonly body: string }> = []
  const server = yield* Effect.acquireRelease(
    Effect.callback<Server>((resume) => {
      const listening = createServer((request, response) => {
        const chunks: Array<Buffer> = []
        request.on("data", (chunk: Buffer) => chunks.push(chunk))
        request.on("end", () => {
          received.push({ path: request.url ?? "", body: Buffer.concat(chunks).toString("utf8") })
          response.setHeader("content-type", "application/json").end("{}")
        })
      })
      listening.listen(0, "127.0.0.1", () => resume(Effect.succeed(listening)))
    }),
    (listening) =>
      Effect.sync(() => {
        listening.close()
        listening.closeAllConnections()
      })
  )
  const address = server.address()
  return {
    url: `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`,
    spans: () => received.filter(({ path }) => path === "/v1/traces").flatMap(({ body }) => spansOf(body)),
    bodies: () => received.map(({ body }) => body)
  }
})
