/**
 * What text carries and nobody sees: terminal escapes and hidden characters. They are taken out in one place and one
 * order (escapes whole, then characters), because whatever is taken out later joins what it stood between. Pure, and
 * linear in the text's length.
 */

/** Joiners and variation selectors: needed by emoji and several scripts, and dropped wherever those cannot stand. */
const joiners = String.raw`\u200c\u200d`
const selectors = String.raw`\u180b-\u180d\u180f\ufe00-\ufe0f\u{e0100}-\u{e01ef}`

/**
 * Characters of general category Cf that are drawn: the signs that stand around numbers and words in Arabic, Syriac
 * and Kaithi. Source: PropList.txt of Unicode 16, Prepended_Concatenation_Mark.
 */
const drawnFormats = String.raw`\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u{110bd}\u{110cd}`

/** A flag of a part of a country: the black flag, tag characters for its code, the closing tag. UTS 51, annex C. */
const regionFlag = String.raw`\u{1f3f4}[\u{e0030}-\u{e0039}\u{e0061}-\u{e007a}]{3,6}\u{e007f}`

/**
 * Code points that are never drawn. Default_Ignorable_Code_Point is Unicode's own list (soft hyphen, zero-width and
 * bidi marks, tags, fillers, byte order mark, …); format characters, noncharacters and unassigned code points come
 * with it, save those that are kept for emoji to come.
 */
const ignorable = new RegExp(
  String.raw`(?![${joiners}${selectors}${drawnFormats}])[\p{DI}\p{Cf}\p{NChar}]|(?!\p{ExtPict})\p{Cn}`,
  "gu"
)
const flagsAndIgnorable = new RegExp(String.raw`(${regionFlag})|${ignorable.source}`, "gu")

/** Everything of the above and the joiners and selectors as well: for whoever compares and does not show. */
export const unseenCharacters = new RegExp(String.raw`[\p{DI}\p{Cf}\p{Cn}\p{Cs}]`, "gu")

/**
 * Terminal escapes as ECMA-48 and xterm's "Control Sequences" define them, in their 7-bit and 8-bit forms. Each is
 * matched whole, with or without its end. Strings (OSC, DCS, SOS, PM, APC) end at BEL or ST; without one, at the end of
 * the line, so that a cut escape does not take the rest of the text with it.
 */
const stringPayload = String.raw`[^\u0007\u0018\u001a\u001b\u0080-\u009f]*`
const stringEnd = String.raw`(?:\u0007|\u009c|\u001b\\)`
const linePayload = String.raw`[^\u0000-\u0008\u000a-\u001f\u0080-\u009f]*`
const stringBegin = String.raw`(?:\u001b[\]PX^_]|[\u0090\u0098\u009d-\u009f])`
const endedStrings = `${stringBegin}${stringPayload}${stringEnd}`
const strings = `${stringBegin}(?:${stringPayload}${stringEnd}|${linePayload})`
const control = String.raw`(?:\u001b\[|\u009b)[0-?]*[ -/]*`
const finalByte = "[@-~]?"
const intermediates = String.raw`\u001b[ -/]*`
const singleFinal = String.raw`[0-~]?`

const escapes = new RegExp(`${strings}|${control}${finalByte}|${intermediates}${singleFinal}`, "g")

/**
 * The same without the byte that ends an escape. Where an escape was cut, that byte is the first of the text behind it:
 * "ESC [ 3 2" before "ghp_" reads as an escape that ends with the g. Bytes that end the escapes of everyday output
 * (colours, erasing, modes, the cursor, character sets) are taken all the same, so that a cut escape and a whole one can stand together.
 * An h is taken from private modes ("ESC [ ? 2 5 h") alone: elsewhere it may begin "hf_".
 */
const singleBytes = String.raw`${control}(?:[mKJHlq]|(?<=\[\?[0-9;]{0,16})h)?|\u001b[ -/]+[B0]?|\u001b`
const escapesButFinal = new RegExp(`${strings}|${singleBytes}`, "g")
/** The same where a string without its end is none: "ESC" before "__ghp_" reads as the beginning of one. */
const escapesButLines = new RegExp(`${endedStrings}|${singleBytes}`, "g")

/** C0 and C1 controls but tab, line feed and carriage return. */
// oxlint-disable-next-line no-control-regex
export const controlCharacters = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g

// oxlint-disable-next-line no-control-regex
const anythingUnseen = /[^\t\n\r -~\u00a0-\u00ac\u00ae-\u02ff]/

const joinerRun = new RegExp(`[${joiners}${selectors}]+`, "gu")
const runShape = new RegExp(`^([${selectors}]?)([${joiners}]?).*`, "u")
const mark = /\p{M}/u
const beyondAscii = /[\u0080-\uffff]/

/** What stays of a run of joiners and selectors, by what stands before and behind it. */
const keptJoiners = (run: string, at: number, text: string): string => {
  const before = text.charAt(at - 1)
  const behind = text.charAt(at + run.length)
  // Keycaps are the one place where a selector follows an ASCII character: 1, selector, U+20E3.
  if (!beyondAscii.test(before)) {
    return run === "\ufe0f" && behind === "\u20e3" && /[0-9#*]/.test(before) ? run : ""
  }
  return run.replace(
    runShape,
    (_, selector: string, joiner: string) => selector + (beyondAscii.test(behind) || mark.test(before) ? joiner : "")
  )
}

/**
 * Text without terminal escapes and without characters that nobody sees; tab, line feed and carriage return stay, and
 * joiners, variation selectors and tags stay where emoji and scripts need them, never beside ASCII. Half a surrogate
 * pair becomes U+FFFD. Doing it twice changes nothing more, so what this function gave has nothing left to take out
 * that would join its neighbours.
 */
export const withoutHidden = (text: string): string =>
  anythingUnseen.test(text)
    ? text
      .toWellFormed()
      // First what may stand inside an escape and would end it early.
      .replace(flagsAndIgnorable, (_, flag: string | undefined) => flag ?? "")
      .replace(escapes, "")
      .replace(controlCharacters, "")
      .replace(joinerRun, keptJoiners)
    : text

/**
 * How escapes are read when secrets are looked for: whole, without their last byte, without strings that do not end, or
 * (their strings aside) as mere characters, because a cut escape can take the beginning of what follows it.
 */
export const escapeReadings: ReadonlyArray<RegExp> = [
  escapes,
  escapesButFinal,
  escapesButLines,
  new RegExp(strings, "g")
]

/** One escape, with or without its last byte: where it ends is decided by what has to follow. */
export const anyEscape = `(?:${strings}|${control}${finalByte}|${intermediates}${singleFinal})`

/** Whether the text holds what could be the beginning of an escape. */
// oxlint-disable-next-line no-control-regex
export const hasEscape = (text: string): boolean => /[\u001b\u0080-\u009f]/.test(text)
