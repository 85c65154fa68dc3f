/** The canonical body text, which both versions sign, and the bodies that must never be signed as mail. */

/** CRLF and CR become LF, all trailing LF go; nothing else changes: spaces, tabs and blank lines are the author's. */
export const canonicalBody = (text: string): string => {
  const unix = text.replaceAll(/\r\n?/g, "\n")
  let end = unix.length
  while (end > 0 && unix.charCodeAt(end - 1) === 0x0a) end--
  return unix.slice(0, end)
}

/**
 * What a v1 sender may have signed for a body that arrived as `text`, most likely first. The reference's library signs
 * the canonical text; its shell tool signs its input file as it is, which mostly ends in one line feed and may have had
 * CRLF line ends. Which line ends the transport used says nothing about that.
 */
export const signedForms = (text: string): ReadonlyArray<string> => {
  const canonical = canonicalBody(text)
  const unix = text.replaceAll(/\r\n?/g, "\n")
  const crlf = canonical.replaceAll("\n", "\r\n")
  return [...new Set([canonical, `${canonical}\n`, unix, crlf, `${crlf}\r\n`, unix.replaceAll("\n", "\r\n")])]
}

/** Every signature of ours begins with such a line: `km-mail-v2`, `km-bridge-v2`, `km-certificate-v1`, … */
const contextName = /^km-[a-z0-9]+(-[a-z0-9]+)*-v\d/

/** Members that only the reference's Slack envelope has together; it is signed with the same kind of key. */
const envelopeMembers = ["action", "nonce", "sender_id", "timestamp", "version"]

/**
 * Why `text` may be neither signed nor accepted as a v1 body, or `undefined`. A v1 signature has no context of its own,
 * so without this rule a mail could serve as a signed request, certificate or manifest.
 */
export const forbiddenBody = (text: string): "context-name" | "envelope" | undefined => {
  const canonical = canonicalBody(text)
  if (contextName.test(canonical)) return "context-name"
  if (!/^[ \t\n]*\{/.test(canonical)) return undefined
  try {
    const value: unknown = JSON.parse(canonical)
    return typeof value === "object" && value !== null && envelopeMembers.every((key) => Object.hasOwn(value, key))
      ? "envelope"
      : undefined
  } catch {
    // Not JSON: so it is no envelope, which is all that was asked.
    return undefined
  }
}
