/**
 * What it takes to make Slack's messages of an agent's Markdown: neutralised, split at safe places, and built as every path
 * builds them. Prose, code, lists and tables in turn, as agents write.
 */
import { fallbackText } from "../../bridge/render/fallbackText.ts"
import { neutralise } from "../../bridge/render/neutralise.ts"
import { maxLiveCharacters, maxMessageCharacters, splitMarkdown } from "../../bridge/render/splitMarkdown.ts"
import { type BenchRow, meets, percentile } from "./BenchRow.ts"

const section = (n: number): string =>
  [
    `## Step ${n}`,
    `The **build** of \`module-${n}\` went through, see [the log](https://example.com/${n}) and *its* notes; ${
      "it took some seconds longer than before, ".repeat(6)
    }which is within what was expected.`,
    ...Array.from({ length: 6 }, (_, item) => `- point ${item} of ${n}: nothing to do, \`value = ${item}\``),
    "```ts",
    ...Array.from({ length: 12 }, (_, line) => `const value${line} = compute(${n}, ${line}) // as before`),
    "```",
    "| name | before | after |",
    "|---|---|---|",
    ...Array.from({ length: 8 }, (_, row) => `| case ${row} | ${row * n} ms | ${row + n} ms |`)
  ].join("\n")

/** So many characters of Markdown. */
const markdownOf = (characters: number): string => {
  const parts: Array<string> = []
  for (let n = 0, size = 0; size < characters; n++) {
    const next = section(n)
    parts.push(next)
    size += next.length + 2
  }
  return parts.join("\n\n").slice(0, characters)
}

/** What `Messages` and `Poster` do with a text, but for Slack. */
const rendered = (markdown: string, limit: number): number =>
  splitMarkdown(neutralise(markdown), limit).reduce((sum, { text }) => sum + fallbackText(text).length, 0)

/** Processor time, of all threads: a busy machine does not make it more. */
const millisOf = (markdown: string, limit: number): number => {
  const begun = process.cpuUsage()
  if (rendered(markdown, limit) === 0) throw new Error("nothing was rendered")
  const { system, user } = process.cpuUsage(begun)
  return (user + system) / 1_000
}

const row = (
  name: string,
  unit: BenchRow["unit"],
  value: number,
  target: string,
  more: Partial<BenchRow> = {}
): BenchRow => ({
  area: "render",
  name,
  unit,
  value,
  target,
  ok: meets(value, target),
  ...more
})

export const run = async (): Promise<ReadonlyArray<BenchRow>> => {
  const small = markdownOf(100_000)
  for (let n = 0; n < 20; n++) millisOf(small, maxMessageCharacters)
  const posts = Array.from({ length: 50 }, () => millisOf(small, maxMessageCharacters))
  const lives = Array.from({ length: 20 }, () => millisOf(small, maxLiveCharacters))
  const perMegabyte = [1, 10].map((megabytes) => {
    const text = markdownOf(megabytes * 1_000_000)
    return Math.min(millisOf(text, maxMessageCharacters), millisOf(text, maxMessageCharacters)) / megabytes
  })
  const [one = Number.NaN, ten = Number.NaN] = perMegabyte
  return [
    row("processor time, 100 KB of Markdown into messages", "ms", percentile(posts, 50), "<= 15", {
      p99: percentile(posts, 99)
    }),
    row("processor time, 100 KB of Markdown into live messages", "ms", percentile(lives, 50), "", {
      p99: percentile(lives, 99)
    }),
    row("10 MB against 1 MB, each per MB", "x", ten / one, "<= 1.5", { baseline: one })
  ]
}
