/**
 * The answer to a push that is refused, in the words that git prints: `! [remote rejected] main -> main (km: …)`
 * (gitprotocol-pack, "Report Status"; version 2 adds lines only behind `ok`, of which a refusal has none).
 */
import type { PushCommand } from "./GitHubPolicy.ts"
import { flushPacket, joined, maxPacketBytes, packet, textPacket } from "./PktLine.ts"

export const receivePackResult = "application/x-git-receive-pack-result"

export interface PushAnswer {
  readonly status: 200 | 403
  readonly contentType: string
  readonly body: Uint8Array
}

/** Payload of one packet on a band: its packet less length and band. */
const bandBytes = maxPacketBytes - 5
/** A reason is one line on somebody's terminal; the ref before it has at most 255 bytes. */
const maxReasonCharacters = 900

const printable = (text: string): string => text.toWellFormed().replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ")

const onBand = (band: 1 | 2, bytes: Uint8Array): ReadonlyArray<Uint8Array> => {
  const packets: Array<Uint8Array> = []
  for (let at = 0; at < bytes.length; at += bandBytes) {
    packets.push(packet(joined([Uint8Array.of(band), bytes.subarray(at, at + bandBytes)])))
  }
  return packets
}

/**
 * `reasons` has one for each command, in order. `lines` are shown before them as `remote: …`, where the client has an ear for
 * it. A client that asked for neither a report nor a band would take any 200 for success, so it gets 403 with the same text.
 */
export const refusedPush = (
  commands: ReadonlyArray<PushCommand>,
  reasons: ReadonlyArray<string>,
  capabilities: ReadonlyMap<string, string>,
  lines: ReadonlyArray<string>
): PushAnswer => {
  const wantsReport = (capabilities.has("report-status") || capabilities.has("report-status-v2")) && commands.length > 0
  const wantsBand = capabilities.has("side-band-64k")
  const text = new TextEncoder().encode(lines.map((line) => `${printable(line)}\n`).join(""))
  if (!wantsReport && !wantsBand) {
    const spoken = lines.length > 0
      ? text
      : new TextEncoder().encode(reasons.map((why) => `${printable(why)}\n`).join(""))
    return { status: 403, contentType: "text/plain; charset=utf-8", body: spoken }
  }
  const report = wantsReport
    ? joined([
      // The pack was never unpacked, but git reads anything else here as an error of the whole push and hides the reasons.
      textPacket("unpack ok\n"),
      ...commands.map(({ ref }, index) =>
        textPacket(
          `ng ${ref} km: ${printable(reasons[index] ?? "refused").slice(0, maxReasonCharacters).toWellFormed()}\n`
        )
      ),
      flushPacket
    ])
    : new Uint8Array(0)
  const body = wantsBand ? joined([...onBand(2, text), ...onBand(1, report), flushPacket]) : report
  return { status: 200, contentType: receivePackResult, body }
}
