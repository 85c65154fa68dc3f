/**
 * The table of words in `docs/slack-notifications.md`, made from the one that reads them: `node test/docs/chatWords.ts`
 * writes it, a test finds it stale.
 */
import * as fs from "node:fs"
import { fileURLToPath } from "node:url"
import { chatWords } from "../../runtime/domain/slack/ChatWords.ts"
import { slackDocument } from "./slackNeeds.ts"

const begin = "<!-- made by `node test/docs/chatWords.ts` -->"
const end = "<!-- end of words -->"

const table = ["| word | what it does |", "|---|---|"].concat(
  Object.entries(chatWords).map(([name, { does, takes }]) =>
    `| \`!${name}\`${takes === "" ? "" : ` and ${takes}`} | ${does} |`
  )
).join("\n")

/** The document as it should be. */
export const withWords = (text: string): string => {
  const from = text.indexOf(begin)
  const to = text.indexOf(end, from)
  if (from === -1 || to === -1) throw new Error(`${slackDocument} has no place for the words`)
  return `${text.slice(0, from + begin.length)}\n\n${table}\n\n${text.slice(to)}`
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  fs.writeFileSync(slackDocument, withWords(fs.readFileSync(slackDocument, "utf8")))
}
