/**
 * Link reference definitions (`[docs]: https://…`) are read in the message that holds them and in no other: each part
 * of a text gets those that its words use and another part holds.
 */
import MarkdownIt from "markdown-it"

/** By their labels as CommonMark compares them; each is a line that defines it again. */
export type Definitions = ReadonlyMap<string, string>

const reader = new MarkdownIt("default", { html: true })

interface Reference {
  href: string
  title: string
}

/** A line that begins one, whatever is around it. */
const mayDefine = /^[ \t>*+\-\d.)]*\[[^\]]+\]:/m

const lineOf = (label: string, { href, title }: Reference): string =>
  `[${label}]: ${/^[^()<]+$/.test(href) ? href : `<${href}>`}${
    title === "" ? "" : ` "${title.replace(/\s+/g, " ").replace(/[\\"]/g, (character) => `\\${character}`)}"`
  }`

/** Nothing is read where nothing looks like one. */
export const definitionsOf = (markdown: string): Definitions => {
  const found = new Map<string, string>()
  if (!mayDefine.test(markdown)) return found
  const references: Record<string, Reference> = {}
  reader.block.parse(markdown, reader, { references }, [])
  for (const [label, value] of Object.entries(references)) found.set(label, lineOf(label, value))
  return found
}

/** As the parser looks them up, so that a text is read with definitions that stand elsewhere. */
export const environmentOf = (definitions: Definitions, used: (label: string) => void = () => undefined) => ({
  references: new Proxy<Record<string, Reference>>({}, {
    get: (_, label) => {
      if (typeof label !== "string" || !definitions.has(label)) return undefined
      used(label)
      return { href: "", title: "" }
    },
    set: () => true
  })
})

/** The lines that this text needs besides its own, in the order of their use. */
export const missingIn = (text: string, definitions: Definitions): ReadonlyArray<string> => {
  if (definitions.size === 0 || !text.includes("[")) return []
  const own = definitionsOf(text)
  const used = new Set<string>()
  reader.parse(text, environmentOf(definitions, (label) => used.add(label)))
  return [...used].flatMap((label) => own.has(label) ? [] : [definitions.get(label) ?? ""])
}
