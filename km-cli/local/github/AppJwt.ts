/**
 * The JSON web tokens by which an App proves itself: RS256, `exp` at most 10 minutes ahead, `iat` not in the future, `iss` the
 * App's number or client id. Source: docs.github.com, "Generating a JSON Web Token (JWT) for a GitHub App".
 */
import { createPublicKey, createSign, verify } from "node:crypto"

export interface JwtKey {
  /** PEM, PKCS#1 or PKCS#8. */
  readonly pem: string
}

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url")

export const signJwt = (claims: Readonly<Record<string, unknown>>, { pem }: JwtKey): string => {
  const text = `${part({ alg: "RS256", typ: "JWT" })}.${part(claims)}`
  return `${text}.${createSign("RSA-SHA256").update(text).sign(pem, "base64url")}`
}

const read = (text: string | undefined): Readonly<Record<string, unknown>> | undefined => {
  try {
    const value: unknown = JSON.parse(Buffer.from(text ?? "", "base64url").toString("utf8"))
    return typeof value === "object" && value !== null ? { ...value } : undefined
  } catch {
    return undefined
  }
}

/** The issuer that a token names, before anything of it is believed. */
export const issuerOf = (jwt: string): string | undefined => {
  const issuer = read(jwt.split(".")[1])?.["iss"]
  return typeof issuer === "string" || typeof issuer === "number" ? String(issuer) : undefined
}

/** Why GitHub would refuse the token with a 401, in its words; undefined when it is good. */
export const jwtFault = (jwt: string, keys: ReadonlyArray<JwtKey>, nowMillis: number): string | undefined => {
  const [head, body, signature, rest] = jwt.split(".")
  const claims = read(body)
  const isSigned = claims !== undefined && signature !== undefined && rest === undefined &&
    read(head)?.["alg"] === "RS256"
    && keys.some(({ pem }) =>
      verify(
        "RSA-SHA256",
        Buffer.from(`${head}.${body}`),
        createPublicKey(pem),
        Buffer.from(signature, "base64url")
      )
    )
  if (!isSigned) return "A JSON web token could not be decoded"
  const now = nowMillis / 1_000
  const { exp, iat } = claims
  // These words are what client libraries look for when clocks differ (@octokit/auth-app, hook.ts).
  if (typeof exp !== "number" || exp <= now) {
    return "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires"
  }
  if (exp > now + 600) return "'Expiration time' claim ('exp') is too far in the future"
  if (typeof iat !== "number" || !Number.isInteger(iat) || iat > now) {
    return "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
  }
  return undefined
}
