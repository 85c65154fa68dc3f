/** Links to files for channels that take none: which key they are signed with, and from where they can be opened. */

/**
 * Base64 of 32 bytes, made with the install. While it is rotated two lines, the new key first: links of the second still
 * open. Slack's signing secret is none of it: with Socket Mode there is none.
 */
export const linkKeyPath = "bridge/link-key"

/** Whether an address is one of this machine alone, so that a link to it opens nowhere else. */
export const isLoopbackUrl = (url: string): boolean => {
  const { hostname } = new URL(url)
  return hostname === "localhost" || hostname.endsWith(".localhost") || hostname === "[::1]" ||
    /^127\.\d+\.\d+\.\d+$/.test(hostname)
}

/** The session of which an object is the transcript: `transcripts/{session}/…`. */
export const sessionOfTranscript = (object: string): string | undefined =>
  /^transcripts\/([0-9a-f-]{36})\/[^/]+\.jsonl\.gz$/.exec(object)?.[1]

/** Where the transcripts of a session are among its sandbox's objects. */
export const transcriptPrefix = (session: string): string => `transcripts/${session}/`
