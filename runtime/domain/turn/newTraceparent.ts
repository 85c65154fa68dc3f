/** A W3C `traceparent` for a turn whose first request nobody records. */
import { randomUUID } from "node:crypto"

const digits = (): string => randomUUID().replaceAll("-", "")

/** Of a trace that begins here. UUIDs, because Node makes their randomness ahead; the trace id is one, the span id half of one. */
export const newTraceparent = (): string => `00-${digits()}-${digits().slice(0, 16)}-01`
