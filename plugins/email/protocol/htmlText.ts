/**
 * HTML of a stranger's mail as the text that a person would see: what is hidden is left out, links say where they lead, and
 * nothing is fetched. For showing only: nobody signs HTML.
 */
import { Parser } from "htmlparser2"

/** Elements whose content is no text of the page. */
const unshown = new Set(
  "head title script style noscript template iframe object embed svg math audio video canvas map select datalist".split(
    " "
  )
)
/** Elements that begin a line of their own, and those with an empty line around them. */
const lines = new Set(
  "address article aside dd div dl dt figure footer form header li main nav section tr center".split(" ")
)
const paragraphs = new Set("p h1 h2 h3 h4 h5 h6 ul ol table blockquote pre hr".split(" "))

/** Ways in which mail hides what only a filter, or an agent, is to read. */
const hiding =
  /(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|opacity\s*:\s*0(?:\.0+)?\s*(?:!|;|$)|font-size\s*:\s*0(?:\.0+)?[a-z%]*\s*(?:!|;|$)|mso-hide\s*:\s*all)/i

/** Levels of elements: far more than any mail has, and what is looked through for each end tag. */
const maxDepth = 256
/** Characters of a link's target. */
const maxTarget = 2_000
/** Characters between which everything else that waits has its turn. */
const stretch = 16 * 1024

const unfinished = "\n\n[The rest of this HTML is not shown.]"

interface Element {
  readonly name: string
  readonly href: string
  /** Where its text begins. */
  readonly start: number
}

/** The text, with at most one empty line between lines. */
class Page {
  private readonly pieces: Array<string> = []
  private size = 0
  private breaks = 0
  private space = false
  readonly open: Array<Element> = []
  /** The depth of the outermost element that is not shown. */
  private hiddenAt: number | undefined
  private preformatted = 0

  private put(text: string): void {
    if (this.size > 0 && this.breaks > 0) this.pieces.push("\n".repeat(this.breaks))
    else if (this.size > 0 && this.space) this.pieces.push(" ")
    this.breaks = 0
    this.space = false
    this.pieces.push(text)
    this.size += text.length
  }

  private lineBreaks(count: number): void {
    this.breaks = Math.max(this.breaks, count)
  }

  text(text: string): void {
    if (this.hiddenAt !== undefined) return
    if (this.preformatted > 0) return this.put(text)
    const words = text.replaceAll(/[ \t\r\n\f]+/g, " ")
    if (words.startsWith(" ")) this.space = true
    const bare = words.replace(/^ | $/g, "").replace(/ $/, "")
    if (bare === "") return
    this.put(bare)
    this.space = words.endsWith(" ")
  }

  /** False when it goes too deep. */
  begin(name: string, attributes: Readonly<Record<string, string>>): boolean {
    this.open.push({ name, href: name === "a" ? attributes["href"] ?? "" : "", start: this.pieces.length })
    if (this.open.length > maxDepth) return false
    if (this.hiddenAt !== undefined) return true
    if (unshown.has(name) || "hidden" in attributes || hiding.test(attributes["style"] ?? "")) {
      this.hiddenAt = this.open.length
      return true
    }
    if (name === "br") this.breaks = Math.min(2, this.breaks + 1)
    if (lines.has(name)) this.lineBreaks(1)
    if (paragraphs.has(name)) this.lineBreaks(2)
    if (name === "pre") this.preformatted++
    if (name === "li") this.text("* ")
    if (name === "td" || name === "th") this.space = true
    if (name === "hr") this.text("---")
    if (name === "img") this.text(attributes["alt"] ?? "")
    return true
  }

  end(): void {
    const depth = this.open.length
    const element = this.open.pop()
    if (element === undefined) return
    if (this.hiddenAt !== undefined) {
      if (this.hiddenAt === depth) this.hiddenAt = undefined
      return
    }
    const { href, name, start } = element
    if (name === "pre") this.preformatted--
    if (name === "a") this.target(href, this.pieces.slice(start).join("").trim())
    if (lines.has(name)) this.lineBreaks(1)
    if (paragraphs.has(name)) this.lineBreaks(2)
  }

  private target(href: string, shown: string): void {
    const address = href.replaceAll(/\s+/g, "")
    if (address === "" || address.startsWith("#") || address === shown || address === `mailto:${shown}`) return
    this.put(` (${address.length <= maxTarget ? address : `${address.slice(0, maxTarget)}…`})`)
  }

  get all(): string {
    return this.pieces.join("")
  }
}

/** Ends early, and says so, where it is nested too deeply or when `expired` says that its time is over. */
export const htmlText = async (html: string, expired: () => boolean): Promise<string> => {
  const page = new Page()
  let whole = true
  const parser = new Parser({
    onopentag: (name, attributes) => {
      if (whole && !page.begin(name, attributes)) whole = false
    },
    onclosetag: () => {
      if (whole) page.end()
    },
    ontext: (text) => {
      if (whole) page.text(text)
    }
  })
  for (let at = 0; at < html.length && whole; at += stretch) {
    if (expired()) whole = false
    else {
      parser.write(html.slice(at, at + stretch))
      await new Promise<void>((resolve) => setImmediate(resolve))
    }
  }
  if (whole) parser.end()
  return `${page.all}${whole ? "" : unfinished}`.trim()
}
