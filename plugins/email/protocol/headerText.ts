/** What a header's value says: as addresses where it must be exactly those, and as text without its folding. */
import { addressParser, decodeWords } from "postal-mime"
import { asciiLowerCase } from "../../../runtime/domain/text/Ascii.ts"
import { mailAddress } from "./MailAddress.ts"

/** One mailbox of an address header; `undefined` stands for what is none (a group, a name alone). */
export const mailboxesOf = (
  value: string
): ReadonlyArray<{ readonly name: string; readonly address: string } | undefined> =>
  addressParser(value).map((entry) =>
    entry.address === undefined || entry.address === ""
      ? undefined
      : { name: entry.name, address: asciiLowerCase(entry.address) }
  )

/** Folding may change runs of white space; which kinds of space there are in a subject is the sender's and shown. */
export const onOneLine = (text: string): string => text.replaceAll(/[\t\r\n\p{Zs}]+/gu, " ").replaceAll(/^ | $/g, "")

/**
 * An address header as addresses alone, each bare or in angle brackets; `undefined` for anything beside them, also where
 * a library would not mind.
 */
export const bareAddresses = (value: string): ReadonlyArray<string> | undefined => {
  const entries = asciiLowerCase(value).split(",").map((entry) => {
    const plain = onOneLine(entry)
    return plain.startsWith("<") && plain.endsWith(">") ? onOneLine(plain.slice(1, -1)) : plain
  })
  return entries.every((entry) => mailAddress(entry) === entry) ? entries : undefined
}

/** `address`, `<address>` or `name <address>`, the name in words, in quotes or encoded. */
export const authorOf = (value: string): { readonly name: string; readonly address: string } | undefined => {
  const [, phrase, enclosed] = /^([^<>]*)<([^<>]*)>$/.exec(onOneLine(value)) ?? [undefined, "", value]
  const [address, ...others] = bareAddresses(enclosed ?? "") ?? []
  const name = onOneLine(phrase ?? "")
  return address === undefined || others.length > 0
    ? undefined
    : { name: comparableText(/^".*"$/.test(name) ? name.slice(1, -1) : name), address }
}

/** RFC 2047 decoded, runs of white space as one space. */
export const comparableText = (value: string): string => onOneLine(decodeWords(value))
