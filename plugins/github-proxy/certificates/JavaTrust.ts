/**
 * What Java believes: it reads no PEM and no variable of other programs, but a store in a form of its own. Written here in
 * the older of its two forms, JKS, which every Java reads and which for certificates alone is little more than a list.
 * Source: OpenJDK, `sun/security/provider/JavaKeyStore.java`. Pure.
 */
import { createHash } from "node:crypto"

const magic = 0xfeedfeed
const version = 2
const trustedCertificate = 2

/** What the store's end is a digest over, beside its bytes; Java's own store has the same password. Keeps nothing secret. */
const password = Buffer.from("changeit", "utf16le").swap16()
const salt = "Mighty Aphrodite"

/** DER of each certificate of a PEM file. */
export const certificatesOf = (pem: string): ReadonlyArray<Buffer> =>
  Array.from(
    pem.matchAll(/-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g),
    ([, body = ""]) => Buffer.from(body, "base64")
  )

const u4 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** Two bytes of length and ASCII. */
const word = (text: string): Buffer => {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(text.length)
  return Buffer.concat([length, Buffer.from(text, "latin1")])
}

/** A store that trusts these; `now` in Unix milliseconds. */
export const javaTrustStore = (certificates: ReadonlyArray<Uint8Array>, now: number): Uint8Array => {
  const since = Buffer.alloc(8)
  since.writeBigUInt64BE(BigInt(now))
  const body = Buffer.concat([
    u4(magic),
    u4(version),
    u4(certificates.length),
    ...certificates.flatMap((der, index) => [
      u4(trustedCertificate),
      word(`km-${index}`),
      since,
      word("X.509"),
      u4(der.length),
      der
    ])
  ])
  const digest = createHash("sha1").update(password).update(salt).update(body).digest()
  return Buffer.concat([body, digest])
}
