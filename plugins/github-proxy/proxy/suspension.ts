/**
 * GitHub's API answers 403 to a token whose installation was suspended meanwhile, as it does to much else: only its message
 * tells them apart. Source: docs.github.com, "Suspending a GitHub App installation"; the words are the API's own.
 */
import { gunzipSync } from "node:zlib"
import type { UpstreamHead } from "../outside/Upstream.ts"

/** Bytes of an answer that are looked at; GitHub's own errors are a tenth of it. */
export const maxLookedAt = 16 * 1024

const unpacked = ({ headers }: UpstreamHead, body: Buffer): string => {
  if (headers["content-encoding"] === undefined) return body.toString("utf8")
  try {
    return headers["content-encoding"] === "gzip" ? gunzipSync(body, { maxOutputLength: maxLookedAt }).toString() : ""
  } catch {
    return ""
  }
}

/** Whether the body of such an answer decides what becomes of it. */
export const maySaySuspended = ({ headers, status }: UpstreamHead): boolean =>
  status === 403 && /^application\/json\b/iu.test(String(headers["content-type"]))

export const saysSuspended = (head: UpstreamHead, body: Buffer): boolean =>
  /^\s*\{[^{}]*"message":\s*"This installation has been suspended/u.test(unpacked(head, body))
