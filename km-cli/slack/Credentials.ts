/** The three secrets of a Slack app as people paste them: which is which, and what is wrong with one. Pure. */
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type { KmError } from "../KmError.ts"
import { slackError } from "./SlackCodes.ts"

export type SecretKind = "bot-token" | "app-token" | "signing-secret"

/** Where each is stored. */
export const secretPaths: Readonly<Record<SecretKind, string>> = {
  "bot-token": "slack/bot-token",
  "app-token": "slack/app-token",
  "signing-secret": "slack/signing-secret"
}

/** Characters of the longest that is read. */
export const maxSecretLength = 1_000

const codes = { "bot-token": "KM-SLK-101", "app-token": "KM-SLK-102", "signing-secret": "KM-SLK-103" } as const

const tokenShape = (prefix: string): RegExp => new RegExp(`^${prefix}-[A-Za-z0-9_-]{10,500}$`)

const shapes: Readonly<Record<SecretKind, RegExp>> = {
  "bot-token": tokenShape("xoxb"),
  "app-token": tokenShape("xapp"),
  "signing-secret": /^[0-9a-f]{32}$/
}

const names: Readonly<Record<SecretKind, string>> = {
  "bot-token": "the bot token",
  "app-token": "the app-level token",
  "signing-secret": "the signing secret"
}

/** What something is that stands in another one's place; no part of the secret itself is told. */
const seenAs = (text: string): string | undefined => {
  if (text === "") return "it is empty"
  if (/\s/.test(text)) return "it holds white space or a line break: paste it alone"
  if (text.startsWith("xapp-")) return "this is an app-level token (xapp-)"
  if (text.startsWith("xoxb-")) return "this is a bot token (xoxb-)"
  if (text.startsWith("xoxp-")) return "this is a person's token (xoxp-)"
  if (text.startsWith("xoxe")) return "this is a token of token rotation (xoxe), which the manifest leaves off"
  if (/^[0-9a-f]{32}$/.test(text)) return "this is a signing secret"
  if (/^[0-9A-Fa-f]+$/.test(text)) return `it has ${text.length} hexadecimal digits where 32 in lower case are expected`
  return undefined
}

/** A line break at the end is how files and terminals hand a secret over; anything else around it is a mistake. */
export const readSecret = (kind: SecretKind, raw: string): Result.Result<Redacted.Redacted<string>, KmError> => {
  const text = raw.replace(/\r?\n$/, "")
  if (shapes[kind].test(text)) return Result.succeed(Redacted.make(text))
  const why = seenAs(text) ?? `it does not have the form of ${names[kind].replace("the ", "a ")}`
  return Result.fail(slackError(codes[kind], `${names[kind]} cannot be used`, why))
}

/** An app-level token names its app. Source: tokens as the app's page makes them, `xapp-1-A…-…-…`. */
export const appOfToken = (token: Redacted.Redacted<string>): string | undefined =>
  /^xapp-\d+-(A[A-Z0-9]{2,20})-/.exec(Redacted.value(token))?.[1]
