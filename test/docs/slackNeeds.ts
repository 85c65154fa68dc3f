/**
 * The tables of `docs/slack-notifications.md` that are made from the list of what our app asks of Slack:
 * `node test/docs/slackNeeds.ts` writes them, a test finds them stale.
 */
import * as fs from "node:fs"
import { fileURLToPath } from "node:url"
import { agentNeeds, appNeeds, type Need, needs } from "../../runtime/domain/slack/SlackNeeds.ts"

export const slackDocument = fileURLToPath(new URL("../../docs/slack-notifications.md", import.meta.url))

const scopesOf = ({ privateScope, scope }: Need): string => {
  const public_ = scope === undefined ? [] : [`\`${scope}\``]
  const private_ = privateScope === undefined ? [] : [`\`${privateScope}\` (private channels)`]
  return [...public_, ...private_].join(", ") || "none"
}

const table = (head: string, rows: ReadonlyArray<Need>): string =>
  [`| ${head} | scope | why |`, "|---|---|---|"]
    .concat(rows.map((need) => `| \`${need.name}\` | ${scopesOf(need)} | ${need.why} |`))
    .join("\n")

const begin = "<!-- made by `node test/docs/slackNeeds.ts` -->"
const end = "<!-- end -->"

const tables = (): string =>
  [
    table("method", needs.filter(({ kind }) => kind === "method")),
    table("event", needs.filter(({ kind }) => kind === "event")),
    table("method of the `xapp-` token", appNeeds),
    table("of an agent app alone (`--agent`)", agentNeeds)
  ].join("\n\n")

/** The document as it should be. */
export const withTables = (text: string): string => {
  const from = text.indexOf(begin)
  const to = text.indexOf(end, from)
  if (from === -1 || to === -1) throw new Error(`${slackDocument} has no place for the tables`)
  return `${text.slice(0, from + begin.length)}\n\n${tables()}\n\n${text.slice(to)}`
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  fs.writeFileSync(slackDocument, withTables(fs.readFileSync(slackDocument, "utf8")))
}
