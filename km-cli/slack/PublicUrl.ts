/** The address under which Slack reaches the bridge: https, or this machine alone, without a path. */
import * as Effect from "effect/Effect"
import { kmError } from "../KmError.ts"

const loopback = /^(127\.\d+\.\d+\.\d+|localhost|\[::1\])$/

/** Without a trailing slash; undefined for what is none. Slack calls nothing but https; plain http is for trying things out. */
export const publicUrlOf = (text: string): string | undefined => {
  const trimmed = text.trim().replace(/\/+$/, "")
  if (!URL.canParse(trimmed)) return undefined
  const url = new URL(trimmed)
  const usable = url.protocol === "https:" || (url.protocol === "http:" && loopback.test(url.hostname))
  const plain = url.pathname === "/" && url.search === "" && url.hash === "" && url.username === "" &&
    url.password === ""
  return usable && plain ? url.origin : undefined
}

/** Fails with KM-CLI-001, naming where the text came from. */
export const publicUrlFrom = (text: string, from: string) => {
  const url = publicUrlOf(text)
  return url === undefined
    ? Effect.fail(
      kmError(
        "KM-CLI-001",
        `${from} cannot be used`,
        "an https address without a path is needed: https://km.example.com"
      )
    )
    : Effect.succeed(url)
}
