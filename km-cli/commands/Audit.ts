/** `km audit`: what was done and refused in this install, and whether the record of it is whole. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { AuditLink } from "../../runtime/domain/install/Audit.ts"
import { visibleJson } from "../../runtime/domain/text/ForeignText.ts"
import { auditEntries, verifyAudit } from "../../runtime/ports/Audit.ts"
import { kmError } from "../KmError.ts"
import { opened } from "../Opened.ts"
import { data, JsonFlag } from "../Output.ts"

export interface AuditInput {
  readonly lines: Option.Option<number>
  readonly follow: boolean
}

/** One line each; entries hold nothing that could break it. */
const lineOf = ({ chain, entry, number }: AuditLink): string => {
  const { action, actor, at, detail, rule, subject, verdict } = entry
  return [
    new Date(at).toISOString(),
    verdict.padEnd(7),
    actor,
    action,
    ...(subject === undefined ? [] : [subject]),
    ...(rule === undefined ? [] : [`(${rule})`]),
    ...(detail === undefined ? [] : [`- ${detail}`]),
    `[${chain} ${number}]`
  ].join(" ")
}

const jsonOf = ({ chain, entry, hash, number }: AuditLink) => ({
  ...entry,
  at: new Date(entry.at).toISOString(),
  chain,
  number,
  hash
})

/** Oldest first; with `--lines` only the last; with `--follow` also what comes, a line or JSON document each. */
export const audit = Effect.fn("km.audit")(function*(input: AuditInput) {
  const { backend } = yield* opened
  yield* backend.install
  yield* Effect.gen(function*() {
    const json = yield* JsonFlag
    if (!input.follow) {
      const links = yield* Stream.runCollect(auditEntries(false))
      const shown = Option.match(input.lines, {
        onNone: () => links,
        onSome: (lines) => links.slice(links.length - Math.min(lines, links.length))
      })
      return yield* data(
        links.length === 0 ? ["nothing was recorded yet"] : shown.map(lineOf),
        { ok: true, entries: shown.map(jsonOf) }
      )
    }
    const known = Option.isNone(input.lines) ? 0 : (yield* Stream.runCount(auditEntries(false))) - input.lines.value
    yield* auditEntries(true).pipe(
      Stream.drop(Math.max(0, known)),
      Stream.runForEach((link) => Console.log(json ? visibleJson(jsonOf(link)) : lineOf(link)))
    )
  }).pipe(Effect.provide(backend.ports("short")))
})

/** Exit 1 when a link is missing, changed, or was put in. */
export const auditVerify = Effect.fn("km.audit.verify")(function*() {
  const { backend } = yield* opened
  yield* backend.install
  const { broken, chains, links } = yield* Effect.provide(verifyAudit, backend.ports("short"))
  const said = broken.map(({ chain, number, why }) => `${chain} is broken at link ${number}: ${why}`)
  yield* data(
    said.length === 0 ? [`the audit is whole: ${links} entries in ${chains} chains`] : said,
    { ok: said.length === 0, chains, links, broken }
  )
  if (said.length > 0) return yield* kmError("KM-CLI-040", "the audit is not whole", said[0] ?? "")
})
