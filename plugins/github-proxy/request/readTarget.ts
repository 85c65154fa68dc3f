/**
 * The target of a request, taken apart strictly and written anew. Nothing is repaired: a path that two programs could read
 * differently is refused.
 */
import * as Result from "effect/Result"

export interface Target {
  /** Percent-decoded once; none for `/`. */
  readonly path: ReadonlyArray<string>
  /** Percent-decoded once, in order; a `+` was a space. */
  readonly query: ReadonlyArray<readonly [name: string, value: string]>
}

/** Longer ones are refused; GitHub's own limit is about 8 KiB. */
const maxTargetBytes = 8_000

const maxSegments = 64

/** Visible ASCII without what no client sends unencoded and servers read differently. */
const visible = /^\/[!$&'()*+,\-./0-9:;=@A-Z_a-z~%?[\]]*$/

/** What decoding once leaves of something that was encoded twice. */
const encodedAgain = /%[0-9A-Fa-f]{2}/

// oxlint-disable-next-line no-control-regex
const control = /[\u0000-\u001f\u007f]/

const decode = (text: string): Result.Result<string, string> => {
  let decoded: string
  try {
    decoded = decodeURIComponent(text)
  } catch {
    return Result.fail("it is not percent-encoded as UTF-8")
  }
  if (control.test(decoded)) return Result.fail("it holds control characters")
  if (decoded.includes("\\")) return Result.fail("it holds a backslash")
  return encodedAgain.test(decoded) ? Result.fail("it is percent-encoded twice") : Result.succeed(decoded)
}

const readSegment = (text: string, slash: boolean): Result.Result<string, string> =>
  Result.flatMap(decode(text), (segment) => {
    if (segment === "") return Result.fail("it has an empty segment")
    // A parameter does not make a dot another thing (`..;x`).
    if (segment.split("/").some((part) => /^\.{1,2}(?:;|$)/.test(part) || slash && part === "")) {
      return Result.fail("it has a segment that is . or .. or empty")
    }
    return segment.includes("/") && !slash ? Result.fail("it holds an encoded slash") : Result.succeed(segment)
  })

/**
 * The path and query of an origin-form target; a failure says what is wrong with it. From the segment `slashFrom` on a name
 * may hold an encoded slash: the API's do, beyond `/repos/{owner}/{repo}`.
 */
export const readTarget = (text: string, slashFrom: number): Result.Result<Target, string> =>
  Result.gen(function*() {
    if (text.length > maxTargetBytes) return yield* Result.fail("it is too long")
    if (!visible.test(text)) return yield* Result.fail("it holds characters that no client sends there")
    const mark = text.indexOf("?")
    const rawPath = mark < 0 ? text : text.slice(0, mark)
    const rawQuery = mark < 0 ? "" : text.slice(mark + 1)
    const segments = rawPath === "/" ? [] : rawPath.slice(1).split("/")
    if (segments.length > maxSegments) return yield* Result.fail("it has too many segments")
    const path: Array<string> = []
    for (const [index, segment] of segments.entries()) {
      path.push(yield* readSegment(segment, index >= slashFrom))
    }
    const query: Array<readonly [string, string]> = []
    for (const pair of rawQuery === "" ? [] : rawQuery.split("&")) {
      const equals = pair.indexOf("=")
      const [rawName, rawValue] = equals < 0 ? [pair, ""] : [pair.slice(0, equals), pair.slice(equals + 1)]
      const name = yield* decode(rawName.replaceAll("+", " "))
      const value = yield* decode(rawValue.replaceAll("+", " "))
      if (name === "") return yield* Result.fail("its query has a part without a name")
      if (!name.endsWith("[]") && query.some(([other]) => other === name)) {
        return yield* Result.fail("its query names something twice")
      }
      query.push([name, value])
    }
    return { path, query }
  })

/** One spelling: letters, digits and `-._~` as they are, everything else encoded. */
const encode = (text: string): string =>
  encodeURIComponent(text).replaceAll(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`)

/** The target to forward, from what was judged. */
export const writeTarget = ({ path, query }: Target): string =>
  `/${path.map(encode).join("/")}${query.length === 0 ? "" : "?"}${
    query.map(([name, value]) => `${encode(name)}=${encode(value)}`).join("&")
  }`
