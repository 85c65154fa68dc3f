/**
 * The journal of what was decided: one hash chain per writing process, so that a line that was changed, removed or put
 * in is found. Pure: how entries become links, and what is wrong with a chain.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { sha256Hex } from "../text/Digest.ts"

/** One line of printable text; control, format and surrogate characters would let it pass for another line. */
const oneLine = (most: number) =>
  Schema.String.check(
    Schema.isMaxLength(most),
    Schema.isPattern(/^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]*$/u, { message: "one line of printable text" })
  )

/** `allowed`: may happen, written before it does. `done`, `failed`: how it ended. `refused`: it did not happen. */
export const AuditVerdict = Schema.Literals(["allowed", "refused", "done", "failed"])
export type AuditVerdict = typeof AuditVerdict.Type

/** Who asked for what, by which rule it was judged, and the verdict. No secret and no text of a message is in it. */
export const AuditEntry = Schema.Struct({
  /** Unix milliseconds, by the writer's clock. */
  at: Schema.Int,
  /** `operator`, `control-plane`, a sandbox's id, a person's Slack id. */
  actor: oneLine(200),
  /** Dotted words, the thing first: `sandbox.create`, `identity.rotate`. */
  action: Schema.String.check(Schema.isPattern(/^[a-z][a-z-]*(\.[a-z][a-z-]*)*$/), Schema.isMaxLength(80)),
  /** What it was done to: a sandbox's id, a key id, a repository. */
  subject: Schema.optionalKey(oneLine(200)),
  /** The rule or the error code that decided. */
  rule: Schema.optionalKey(oneLine(200)),
  verdict: AuditVerdict,
  detail: Schema.optionalKey(oneLine(500))
})
export type AuditEntry = typeof AuditEntry.Type

/** Text of others made fit for an entry: on one line, what cannot be printed as U+FFFD, at most `most` characters. */
export const auditText = (text: string, most = 200): string =>
  text.toWellFormed().replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "\uFFFD").slice(0, most).toWellFormed()

/** The same entry with its texts made fit. */
export const fitEntry = (entry: AuditEntry): AuditEntry => ({
  ...entry,
  actor: auditText(entry.actor),
  ...(entry.subject === undefined ? {} : { subject: auditText(entry.subject) }),
  ...(entry.rule === undefined ? {} : { rule: auditText(entry.rule) }),
  ...(entry.detail === undefined ? {} : { detail: auditText(entry.detail, 500) })
})

/** Names a chain: the kind of process that writes it, and which of several it is. `bridge-1`, `operator-3`. */
export const ChainName = Schema.String.check(Schema.isPattern(/^[a-z][a-z-]{0,39}-[1-9]\d{0,3}$/)).pipe(
  Schema.brand("km/ChainName")
)
export type ChainName = typeof ChainName.Type

/** Lower-case hex of 32 bytes. */
const Hash = Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/))

/** What precedes the first link of every chain. */
export const genesis = "0".repeat(64)

/** An entry at its place: `hash` covers chain, number, the link before it and the entry. */
export const AuditLink = Schema.Struct({
  chain: ChainName,
  /** From 1, without gaps. */
  number: Schema.Int.check(Schema.isGreaterThanOrEqualTo(1)),
  before: Hash,
  entry: AuditEntry,
  hash: Hash
})
export type AuditLink = typeof AuditLink.Type

/** Where a chain ends. Kept elsewhere each minute, so that a chain whose last links were cut off is found. */
export const ChainHead = Schema.Struct({
  chain: ChainName,
  /** Links in the chain; 0 with `genesis` for one that has none. */
  length: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)),
  hash: Hash
})
export type ChainHead = typeof ChainHead.Type

export const emptyHead = (chain: ChainName): ChainHead => ({ chain, length: 0, hash: genesis })

const encodeEntry = Schema.encodeSync(Schema.fromJsonString(AuditEntry))
const LinkLine = Schema.fromJsonString(AuditLink)
const encodeLink = Schema.encodeSync(LinkLine)
const decodeLink = Schema.decodeUnknownResult(LinkLine, { onExcessProperty: "error" })

const hashOf = ({ before, chain, entry, number }: Omit<AuditLink, "hash">): string =>
  sha256Hex(`km-audit-v1\n${chain}\n${number}\n${before}\n${encodeEntry(entry)}`)

/** The link that puts `entry` behind `head`, its texts made fit. */
export const linkAfter = (head: ChainHead, entry: AuditEntry): AuditLink => {
  const link = { chain: head.chain, number: head.length + 1, before: head.hash, entry: fitEntry(entry) }
  return { ...link, hash: hashOf(link) }
}

export const headOf = ({ chain, hash, number }: AuditLink): ChainHead => ({ chain, length: number, hash })

/** The link as it is stored: one line of JSON without its line end. */
export const linkLine = (link: AuditLink): string => encodeLink(link)

/** What is wrong with a chain, and at which link: the first that is. */
export interface BrokenChain {
  readonly chain: ChainName
  /** The number that the link has, or should have. */
  readonly number: number
  readonly why: string
}

/** The stored line at `head`'s next place, or what is wrong with it. */
export const readLink = (head: ChainHead, line: string): Result.Result<AuditLink, BrokenChain> => {
  const broken = (why: string) => Result.fail({ chain: head.chain, number: head.length + 1, why })
  const decoded = decodeLink(line)
  if (Result.isFailure(decoded)) return broken("the line is no link of a chain")
  const link = decoded.success
  if (link.chain !== head.chain) return broken(`the line belongs to the chain ${link.chain}`)
  if (link.number !== head.length + 1) return broken(`the line has the number ${link.number}`)
  if (link.before !== head.hash) return broken("it does not follow the link before it")
  if (link.hash !== hashOf(link)) return broken("it was changed after it was written")
  // The same link written otherwise would still be another line than the one that was written.
  return linkLine(link) === line ? Result.succeed(link) : broken("it was changed after it was written")
}

/** What is wrong with a chain that ends at `head`, given how long it once was. */
export const cutOff = (head: ChainHead, kept: ChainHead): BrokenChain | undefined =>
  kept.length <= head.length ? undefined : {
    chain: head.chain,
    number: head.length + 1,
    why: head.length === 0
      ? `the chain is gone, and once had ${kept.length} links`
      : `it ends before this link, and once had ${kept.length}`
  }

/** What is wrong with a link, given the head that was written down when the chain was as long as up to it. */
export const swapped = (link: AuditLink, kept: ChainHead): BrokenChain | undefined =>
  kept.length !== link.number || kept.hash === link.hash
    ? undefined
    : { chain: link.chain, number: link.number, why: "it is not the link that was written down as the last one" }
