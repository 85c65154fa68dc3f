/**
 * Made-up ids and secrets in the shapes that Slack's have.
 */
import * as crypto from "node:crypto"

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

/** A letter and ten of A–Z and 0–9, as Slack's ids look (`Ev…` for events). */
export const slackId = (prefix: string, length = 10): string => {
  const bytes = crypto.randomBytes(length)
  return prefix + Array.from(bytes, (byte) => alphabet[byte % alphabet.length]).join("")
}

/** 32 hex digits, as a signing secret has. */
export const hexSecret = (): string => crypto.randomBytes(16).toString("hex")

/** A token in Slack's form; `xoxb` for bots, `xoxp` for people. */
export const slackToken = (kind: "xoxb" | "xoxp"): string => `${kind}-${crypto.randomBytes(18).toString("base64url")}`

/** An app-level token in Slack's form: it names its app. */
export const appLevelToken = (appId: string): string => `xapp-1-${appId}-1-${crypto.randomBytes(32).toString("hex")}`

/** A secret for the control API, URL-safe. */
export const controlSecret = (): string => crypto.randomBytes(24).toString("base64url")

/** The id a Slack client gives to a message that a person typed. */
export const clientMessageId = (): string => crypto.randomUUID()

/** Five characters, as Slack gives to blocks that come without a `block_id`. */
export const blockId = (): string => crypto.randomBytes(4).toString("base64url").slice(0, 5)
