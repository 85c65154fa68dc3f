/** SHA-256 as text: pure functions, so the domain may use them (`node:crypto` is the one Node module allowed here). */
import { createHash } from "node:crypto"

/** Lower-case hex, 64 characters. */
export const sha256Hex = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex")

/** URL-safe base64 without padding, 43 characters. */
export const sha256Base64Url = (data: string | Uint8Array): string =>
  createHash("sha256").update(data).digest("base64url")
