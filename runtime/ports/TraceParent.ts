/** W3C trace context as a turn carries it, so that one trace runs from Slack's event to the answer. */
import * as Tracer from "effect/Tracer"

/** `00-{trace id}-{span id}-{flags}`. Source: w3.org/TR/trace-context, section 3.2. */
const pattern = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/

export const traceparentOf = (span: Tracer.AnySpan): string =>
  `00-${span.traceId}-${span.spanId}-${span.sampled ? "01" : "00"}`

/** The span that a `traceparent` names; nothing for none, and for one that is malformed. */
export const spanOfTraceparent = (traceparent: string | undefined): Tracer.ExternalSpan | undefined => {
  const [, traceId, spanId, flags] = pattern.exec(traceparent ?? "") ?? []
  return traceId === undefined || spanId === undefined
    ? undefined
    : Tracer.externalSpan({ traceId, spanId, sampled: Number.parseInt(flags ?? "0", 16) % 2 === 1 })
}
