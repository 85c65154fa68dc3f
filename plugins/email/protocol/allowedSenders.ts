/** `spec.email.allowedSenders`: who may write to a sandbox. Asked only about senders whose identity is proven. */
import type { SenderId } from "../../../runtime/domain/sandbox/Ids.ts"
import { asciiLowerCase } from "../../../runtime/domain/text/Ascii.ts"
import type { Verdict } from "./Verdict.ts"

/** One pattern as parsed; `undefined` from the parser for what is none. */
export type SenderPattern =
  | { readonly kind: "self" }
  | { readonly kind: "install" }
  | { readonly kind: "everyone" }
  | { readonly kind: "address"; readonly glob: RegExp }
  | { readonly kind: "name"; readonly glob: RegExp }

/** `*` stands for any run of characters but `@`, so that `*@domain` is one domain and no longer name. */
const globOf = (text: string): RegExp =>
  new RegExp(`^${text.split("*").map((piece) => piece.replaceAll(/[.+?^$()[\]{}|\\/-]/g, "\\$&")).join("[^@]*")}$`)

/**
 * `self`, `install` (every certified sender of the install), `*` (everyone who is proven), an id or alias or a glob of
 * them (`sb-*`, `build.*`), an address or a glob of one (`*@example.org`, `ci@*`). Letter case does not count.
 */
export const senderPattern = (text: string): SenderPattern | undefined => {
  const pattern = asciiLowerCase(text.trim())
  if (pattern === "self") return { kind: "self" }
  if (pattern === "install") return { kind: "install" }
  if (pattern === "*") return { kind: "everyone" }
  // Stars next to each other would only make matching slow.
  if (pattern.length > 254 || /\*\*/.test(pattern) || (pattern.match(/\*/g)?.length ?? 0) > 4) return undefined
  if (/^[a-z0-9!#$%&'*+/=?^_`{|}~.-]+@[a-z0-9*.-]+$/.test(pattern)) return { kind: "address", glob: globOf(pattern) }
  return /^[a-z0-9*][a-z0-9*._-]*$/.test(pattern) ? { kind: "name", glob: globOf(pattern) } : undefined
}

export interface ProvenSender {
  readonly sender: SenderId
  /** The alias that its certificate names (`certifiedAlias`); not what a message or a table says. */
  readonly alias: string | undefined
  /** Certified, and compared with From. */
  readonly address: string
  /** Whether the install's certifier vouches for it. */
  readonly certified: boolean
}

/** The proven sender of a verdict, or `undefined`: then no pattern matches, not even `*`. */
export const provenSender = (verdict: Verdict, alias: string | undefined): ProvenSender | undefined =>
  (verdict.status === "verified" || verdict.status === "verified-v1") && verdict.sender !== undefined
    && verdict.mail !== undefined
    ? { sender: verdict.sender, alias, address: verdict.mail.from.address, certified: verdict.promised === "v2" }
    : undefined

/** An empty list allows nobody. Patterns that are none allow nobody. */
export const allowsSender = (
  patterns: ReadonlyArray<string>,
  proven: ProvenSender | undefined,
  self: SenderId
): boolean => {
  if (proven === undefined) return false
  return patterns.some((text) => {
    const pattern = senderPattern(text)
    switch (pattern?.kind) {
      case undefined:
        return false
      case "everyone":
        return true
      case "self":
        return proven.sender === self
      case "install":
        return proven.certified
      case "address":
        return pattern.glob.test(proven.address)
      case "name":
        return pattern.glob.test(proven.sender) || (proven.alias !== undefined && pattern.glob.test(proven.alias))
    }
  })
}
