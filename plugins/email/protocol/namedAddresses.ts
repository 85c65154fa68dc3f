/**
 * Which addresses a header could be read to name, by any mail program and by a person's eye. For the question whether
 * somebody who always signs is claimed as the author: one address too many only makes a forgery of a stranger's mail, one
 * too few makes a stranger of a forger.
 */
import { domainToASCII, domainToUnicode } from "node:url"
import { addressParser, decodeWords } from "postal-mime"
import { asciiLowerCase } from "../../../runtime/domain/text/Ascii.ts"

const longestAddress = 254

/**
 * Letters, hyphens and dots that look like ASCII's in common fonts, each behind the one that it looks like. Source: Unicode
 * UTS #39, confusables.txt, single lower-case characters of Latin, Greek, Cyrillic and Armenian.
 */
const lookalikes: ReadonlyMap<string, string> = new Map(
  [
    ..."aɑαа bЬьƅ cϲс dԁɗ eеҽ gɡց hһհн iıɩιі jϳј kκк lӏǀ mм nոηп oοоօσ pρр qԛզ rг sѕ tτт uυսʋ vνѵ wԝωա xχх yγу".split(
      " "
    ),
    "-\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\u02d7",
    ".\u3002\u0660\u06d4"
  ].flatMap((group) => {
    const [plain = "", ...others] = Array.from(group)
    return others.map((other): readonly [string, string] => [other, plain])
  })
)

/** As it looks: compatibility forms made plain (full width, the Kelvin sign), what is hidden gone, lookalikes replaced. */
const asSeen = (text: string): string =>
  Array.from(
    text.normalize("NFKC").replaceAll(/[\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}]/gu, "").toLowerCase(),
    (letter) => lookalikes.get(letter) ?? letter
  ).join("")

/** RFC 5322 §3.2.2: comments nest, and a backslash takes the meaning of the next character; one left open is none. */
const withoutComments = (text: string): string => {
  const kept: Array<string> = []
  /** Where in what is kept each comment begins that is open. */
  const open: Array<number> = []
  let quoted = false
  for (let at = 0; at < text.length; at++) {
    const letter = text.charAt(at)
    const begun = letter === ")" && !quoted ? open.pop() : undefined
    if (begun !== undefined) kept.length = begun
    else if (letter === "\\") kept.push(text.slice(at, ++at + 1))
    else {
      if (letter === "\"" && open.length === 0) quoted = !quoted
      if (letter === "(" && !quoted) open.push(kept.length)
      kept.push(letter)
    }
  }
  return kept.join("")
}

/** Spaces and comments may stand around the dots and the `@` of an address (RFC 5322 §4.4), quotes around its words. */
const readingsOf = (text: string): ReadonlyArray<string> => {
  const lower = asciiLowerCase(text)
  const uncommented = [lower, withoutComments(lower)]
  const unquoted = uncommented.flatMap((one) => [one, one.replaceAll(/["\\[\]]/g, "")])
  const joined = unquoted.map((one) => one.replaceAll(/\s+/g, " ").replaceAll(/ ?@ ?/g, "@"))
  return [...new Set([...joined, ...joined.map((one) => one.replaceAll(/ ?\. ?/g, "."))])]
}

const trimmed = (text: string): string => text.replaceAll(/^[.-]+|[.-]+$/g, "")

/** The end of a local part at `end`; walked back, because a pattern would look from every place before it. */
const localBefore = (text: string, end: number): string => {
  let start = end
  while (end - start < longestAddress && /[a-z0-9._+-]/.test(text.charAt(start - 1))) start--
  return text.slice(start, end)
}

/** What stands around each `@`, in ASCII, and the domain also in the form that the name system has for it. */
const aroundAts = (text: string, found: Set<string>): void => {
  for (let at = text.indexOf("@"); at >= 0; at = text.indexOf("@", at + 1)) {
    const local = localBefore(text, at)
    if (local === "") continue
    const after = text.slice(at + 1, at + 1 + longestAddress)
    const plain = /^[a-z0-9.-]+/.exec(after)?.[0] ?? ""
    const wide = /^[\p{L}\p{M}\p{N}.-]+/u.exec(after)?.[0] ?? ""
    const domains = wide === plain ? [plain] : [plain, domainToASCII(wide)]
    const foreign = plain.includes("xn--") ? [asSeen(domainToUnicode(plain))] : []
    for (const domain of [...domains, ...foreign]) {
      if (domain !== "") found.add(`${trimmed(local)}@${trimmed(domain)}`)
    }
  }
}

/**
 * Every address that a person or program could read in the value: its mailboxes, those within groups, routes and encoded
 * words, and whatever stands around an `@` in names and comments, as written and as it looks.
 */
export const addressesNamed = (value: string): ReadonlySet<string> => {
  const found = new Set<string>()
  for (const entry of addressParser(value, { flatten: true })) {
    if (entry.address !== undefined && entry.address !== "") found.add(asciiLowerCase(entry.address))
  }
  const texts = [...new Set([value, decodeWords(value)])]
  // Only what is beyond printable ASCII can look like something else.
  const seen = texts.filter((text) => /[^\t -~]/.test(text)).map(asSeen)
  for (const text of [...texts, ...seen]) {
    for (const reading of readingsOf(text)) aroundAts(reading, found)
  }
  return found
}
