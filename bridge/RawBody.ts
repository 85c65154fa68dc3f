/** A request's body as bytes under a cap, and its text and JSON under the rules that hold before anything is read. */
import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as Option from "effect/Option"

/** Why a body cannot be used. `broken` means that the client went away in the middle. */
export type BodyFault = "too_large" | "broken"

/** The raw bytes; more than `maxBytes` are never held in memory. */
export const readBody = (
  request: HttpServerRequest,
  maxBytes: number
): Effect.Effect<Uint8Array, BodyFault> => {
  const announced = Number(request.headers["content-length"] ?? "0")
  if (announced > maxBytes) return Effect.fail("too_large")
  return request.arrayBuffer.pipe(
    Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(maxBytes)),
    Effect.map((buffer) => new Uint8Array(buffer)),
    Effect.mapError((error): BodyFault =>
      error.reason._tag === "RequestParseError" && error.reason.reason === "BodyTooLarge" ? "too_large" : "broken"
    )
  )
}

const utf8 = new TextDecoder("utf-8", { fatal: true })

/** None when the bytes are no UTF-8. */
export const textOf = (bytes: Uint8Array): Option.Option<string> => {
  try {
    return Option.some(utf8.decode(bytes))
  } catch {
    return Option.none()
  }
}

/** None when the text is no JSON. */
export const jsonOf = (text: string): Option.Option<unknown> => {
  try {
    return Option.some(JSON.parse(text))
  } catch {
    return Option.none()
  }
}

/** Escapes that can bring a lone surrogate or a control character into a parsed string. */
const suspicious = /\\u(?:[dD][89a-fA-F]|00[01])/
// oxlint-disable-next-line no-control-regex
const control = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/

/** What is wrong with a text that a person wrote: half a surrogate pair, a control character. */
export const stringFault = (text: string): "lone surrogate" | "control character" | undefined =>
  !text.isWellFormed() ? "lone surrogate" : control.test(text) ? "control character" : undefined

/**
 * The first fault of any string inside `value`: half a surrogate pair, or (where `controls`) a control character other
 * than tab and line ends. `source` is the JSON it was parsed from; most need no walk.
 */
export const textFault = (
  source: string,
  value: unknown,
  options: { readonly controls: boolean }
): "lone surrogate" | "control character" | undefined => {
  if (!suspicious.test(source) && !control.test(source)) return undefined
  const stack: Array<unknown> = [value]
  while (stack.length > 0) {
    const next = stack.pop()
    if (typeof next === "string") {
      if (!next.isWellFormed()) return "lone surrogate"
      if (options.controls && control.test(next)) return "control character"
    } else if (Array.isArray(next)) { for (const item of next) stack.push(item) }
    else if (next !== null && typeof next === "object") { for (const item of Object.entries(next)) stack.push(...item) }
  }
  return undefined
}
