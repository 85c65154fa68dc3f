/**
 * Text that somebody else wrote, as a person may be shown it: inert, and where it is a field, on one line. Everything that
 * shows foreign text takes it from here. The agent's mail programs have a copy of their own (`plugins/email/foreignText.ts`),
 * because the jail shows them that folder alone; one list of examples holds both to the same results.
 */

/**
 * Whole control sequences of terminals, in their 7-bit and 8-bit forms, so that no rest of them is left to be read: CSI, the
 * strings of OSC, DCS, SOS, PM and APC with what they carry, and every other escape. Source: ECMA-48, 5th edition, §5.3-5.6.
 */
const terminalSequence =
  // oxlint-disable-next-line no-control-regex
  /(?:\u001b\[|\u009b)[0-?]*[ -/]*[@-~]|(?:\u001b[\]PX^_]|[\u0090\u0098\u009d-\u009f])[^\u0007\u001b\u009c]*(?:\u0007|\u001b\\|\u009c)|\u001b[ -/]*[0-~]/g

/** Whatever some program takes for the end of a line; Python's `splitlines` has the longest list. */
// oxlint-disable-next-line no-control-regex
const lineEnd = /\r\n|[\n\u000b-\r\u001c-\u001e\u0085\u2028\u2029]/g

/** What shows nothing, or changes how what is around it is shown: controls, direction marks, joiners, tags, fillers. */
const hidden = /[\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}]/gu

/** The same, but what lines of text need: tabs and line feeds, joiners of scripts and emoji, and emoji presentation. */
const hiddenInText = /(?!\t|\n|\u200c|\u200d|\ufe0e|\ufe0f)[\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}]/gu

/** Every kind of space, and the sign of Braille that looks like one. */
const spaces = /[\p{Z}\t\u2800]+/gu

const withoutSequences = (text: string): string => text.toWellFormed().replaceAll(terminalSequence, "")

/** Several lines, each kept as a line; nothing in them drives a terminal, turns the direction of writing or is hidden. */
export const foreignText = (text: string): string =>
  withoutSequences(text).replaceAll(lineEnd, "\n").replaceAll(hiddenInText, "")

/** One line of visible characters with single spaces, whatever it holds; `most` counts characters, and `…` says that there were more. */
export const foreignLine = (text: string, most = 200): string => {
  const line = withoutSequences(text).replaceAll(lineEnd, " ").replaceAll(spaces, " ").replaceAll(hidden, "")
    .replaceAll(/ {2,}/g, " ").trim()
  const characters = Array.from(line.slice(0, 2 * most + 2))
  return characters.length <= most && line.length <= 2 * most ? line : `${characters.slice(0, most - 1).join("")}…`
}

/** As JavaScript and JSON write it, one escape for each UTF-16 unit. */
const escaped = (text: string): string =>
  text.replaceAll(/[^]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)

const plainAddress = /^[A-Za-z0-9._+=-]{1,64}@[A-Za-z0-9.-]{1,255}$/

/** The longest address. Source: RFC 5321 §4.5.3.1.3 */
const longestAddress = 254

/**
 * An address: as it is when there is nothing in it to be misread, otherwise in quotes with everything beyond printable
 * ASCII escaped, so that no name, no second address and no letter that looks like another one passes for it.
 */
export const foreignAddress = (text: string): string => {
  if (plainAddress.test(text)) return text
  const short = text.length <= longestAddress ? text : `${text.slice(0, longestAddress)}…`
  return JSON.stringify(short).replaceAll(/[^ -~]/g, escaped)
}

/** What JSON's own writer leaves as it is and nobody sees: it would drive the terminal that the document is printed on. */
const unseenInJson = /(?!\n)[\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}\u2800]|(?! )\p{Z}/gu

/** JSON whose text shows all that it holds: what is unseen is written as escapes. The value is the same. */
export const visibleJson = (value: unknown, indent?: number): string =>
  JSON.stringify(value, null, indent).replaceAll(unseenInJson, escaped)
