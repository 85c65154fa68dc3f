/** Slack's request signature, version 0: an HMAC over the raw bytes, compared in constant time. */
import { createHmac, timingSafeEqual } from "node:crypto"

/** Seconds. Source: docs.slack.dev/authentication/verifying-requests-from-slack, read 2026-11. */
export const maxSlackSkewSeconds = 300

/** What the two headers say about `body`, with every secret tried so that timing tells nothing. */
export const checkSlackSignature = (request: {
  readonly timestamp: string | undefined
  readonly signature: string | undefined
  readonly body: Uint8Array
  readonly secrets: ReadonlyArray<string>
  readonly nowSeconds: number
}): "valid" | "unsigned" | "stale" => {
  const { body, nowSeconds, secrets, signature, timestamp } = request
  if (timestamp === undefined || signature === undefined) return "unsigned"
  if (!/^\d{1,12}$/.test(timestamp) || !/^v0=[0-9a-f]{64}$/.test(signature)) return "unsigned"
  if (Math.abs(nowSeconds - Number(timestamp)) > maxSlackSkewSeconds) return "stale"
  const given = Buffer.from(signature.slice(3), "hex")
  let valid = false
  for (const secret of secrets) {
    const expected = createHmac("sha256", secret).update(`v0:${timestamp}:`).update(body).digest()
    if (timingSafeEqual(expected, given)) valid = true
  }
  return valid ? "valid" : "unsigned"
}

/** The header value that Slack would send; for tests and the load generator. */
export const slackSignature = (secret: string, timestamp: string, body: string | Uint8Array): string =>
  `v0=${createHmac("sha256", secret).update(`v0:${timestamp}:`).update(body).digest("hex")}`
