/** W3C trace context as a turn carries it, so that one trace runs from Slack's event to the answer. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Tracer from "effect/Tracer"
import { newTraceparent } from "../domain/turn/newTraceparent.ts"

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

/** Of the span that is current, so that what follows continues its trace; of a new one where there is none. */
export const currentTraceparent: Effect.Effect<string> = Effect.contextWith((context: Context.Context<never>) => {
  const span = Context.getOrUndefined(context, Tracer.ParentSpan)
  return Effect.succeed(span === undefined ? newTraceparent() : traceparentOf(span))
})

/** Whether what runs here is traced into some backend. */
export const isTraced = (context: Context.Context<never>): boolean =>
  Context.get(context, Tracer.Tracer) !== Tracer.nativeTracer

/** With a span where somebody will see it: one that is only made and thrown away costs as much as a small query. */
export const spanned = <A, E, R>(name: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.contextWith((context: Context.Context<never>) => isTraced(context) ? inSpan(name, effect) : effect)

/** A span is provided, so that a parent is one of what an effect needs and no longer of what it is given. */
const inSpan = <A, E, R>(name: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.useSpan(name, (span) => Effect.withParentSpan(effect, span))
