/**
 * The authority that one sandbox believes beside the system's own, so that the proxy can read what goes to GitHub. Its key
 * is made here, never leaves memory, and could not speak for any other name: the names are constrained, critically.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign
} from "node:crypto"
import { createSecureContext, type SecureContext } from "node:tls"
import * as Der from "./Der.ts"

/** Object identifiers. Source: RFC 5280 and RFC 5758. */
const oid = {
  commonName: "2.5.4.3",
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  nameConstraints: "2.5.29.30",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1"
} as const

const day = 86_400_000

/** The authority ends with the process that made it; this bounds one that runs for years. */
const authorityDays = 3_650

/** Within what clients accept of a private authority (Apple takes 825 days, browsers 398 from public ones). */
const leafDays = 30

/** A leaf is replaced when less than this is left of it. */
const renewDays = 2

/** Clocks in a sandbox may be behind. */
const backDays = 1

interface Fields {
  readonly subject: Buffer
  readonly issuer: Buffer
  readonly key: KeyObject
  readonly notBefore: number
  readonly notAfter: number
  readonly extensions: ReadonlyArray<Buffer>
}

const nameOf = (common: string): Buffer =>
  common === "" ? Der.sequence() : Der.sequence(Der.set(Der.sequence(Der.objectId(oid.commonName), Der.utf8(common))))

const extension = (id: string, critical: boolean, value: Buffer): Buffer =>
  Der.sequence(Der.objectId(id), ...(critical ? [Der.booleanTrue] : []), Der.octets(value))

const publicKeyDer = (key: KeyObject): Buffer => createPublicKey(key).export({ type: "spki", format: "der" })

/** Any value that names the key will do (RFC 5280, 4.2.1.2); 20 bytes as everywhere. */
const keyIdentifier = (key: KeyObject): Buffer =>
  createHash("sha256").update(publicKeyDer(key)).digest().subarray(0, 20)

const certificate = (fields: Fields, signer: KeyObject): string => {
  const algorithm = Der.sequence(Der.objectId(oid.ecdsaWithSha256))
  const toBeSigned = Der.sequence(
    Der.explicit(0, Der.integer(Buffer.from([2]))),
    // 128 random bits; the top bit is cleared so that its length is always the same.
    Der.integer(Buffer.concat([Buffer.from([0x40 | (randomBytes(1)[0] ?? 0) & 0x3f]), randomBytes(15)])),
    algorithm,
    fields.issuer,
    Der.sequence(Der.time(fields.notBefore), Der.time(fields.notAfter)),
    fields.subject,
    publicKeyDer(fields.key),
    Der.explicit(3, Der.sequence(...fields.extensions))
  )
  const signature = sign("sha256", toBeSigned, signer)
  const whole = Der.sequence(toBeSigned, algorithm, Der.bits(signature))
  const lines = whole.toString("base64").match(/.{1,64}/g) ?? []
  return ["-----BEGIN CERTIFICATE-----", ...lines, "-----END CERTIFICATE-----", ""].join("\n")
}

const dnsSubtree = (name: string): Buffer => Der.sequence(Der.implicit(2, Buffer.from(name, "latin1")))

/** An address and its mask, all zero: 8 bytes for version 4, 32 for version 6. */
const everyAddress = (bytes: number): Buffer => Der.sequence(Der.implicit(7, Buffer.alloc(bytes)))

/** The names that are permitted, each with everything below it; every address is excluded (RFC 5280, 4.2.1.10). */
const constraintsOf = (names: ReadonlyArray<string>): Buffer =>
  Der.sequence(Der.explicit(0, ...names.map(dnsSubtree)), Der.explicit(1, everyAddress(8), everyAddress(32)))

const newKey = (): KeyObject => {
  const { privateKey } = generateKeyPairSync("ec", {
    namedCurve: "P-256",
    privateKeyEncoding: { type: "pkcs8", format: "der" },
    publicKeyEncoding: { type: "spki", format: "der" }
  })
  return createPrivateKey({ key: privateKey, type: "pkcs8", format: "der" })
}

export interface SandboxAuthority {
  /** The authority's own certificate, PEM. */
  readonly certificate: string
  /**
   * What a server of this name shows; kept per name until the certificate is old. The caller names hosts of a fixed list
   * only, lower-case: any other would be of no use, for no client believes it.
   */
  readonly contextFor: (host: string) => SecureContext
  /** The certificate of that name as it is shown, PEM. */
  readonly leafFor: (host: string) => string
}

interface Leaf {
  readonly pem: string
  readonly renewAt: number
  readonly context: SecureContext
}

/**
 * An authority for these names and everything below them. `now` is Unix milliseconds; P-256 throughout, one key for all
 * leaves.
 */
export const makeAuthority = (names: ReadonlyArray<string>, now: () => number): SandboxAuthority => {
  const authorityKey = newKey()
  const leafKey = newKey()
  const leafKeyPem = leafKey.export({ type: "pkcs8", format: "pem" })
  const began = now()
  const issuer = nameOf(`sandbox proxy ${randomBytes(4).toString("hex")}`)
  const own = certificate({
    subject: issuer,
    issuer,
    key: authorityKey,
    notBefore: began - backDays * day,
    notAfter: began + authorityDays * day,
    extensions: [
      // An authority that may sign leaves and no other authority.
      extension(oid.basicConstraints, true, Der.sequence(Der.booleanTrue, Der.integer(Buffer.from([0])))),
      // keyCertSign is bit 5.
      extension(oid.keyUsage, true, Der.bits(Buffer.from([0x04]), 2)),
      extension(oid.nameConstraints, true, constraintsOf(names)),
      extension(oid.subjectKeyIdentifier, false, Der.octets(keyIdentifier(authorityKey)))
    ]
  }, authorityKey)

  const leaves = new Map<string, Leaf>()
  const makeLeaf = (host: string): Leaf => {
    const at = now()
    const pem = certificate({
      // A common name has 64 characters at most; the names that count are the alternative ones.
      subject: nameOf(host.length > 64 ? "" : host),
      issuer,
      key: leafKey,
      notBefore: at - backDays * day,
      notAfter: Math.min(at + leafDays * day, began + authorityDays * day),
      extensions: [
        extension(oid.basicConstraints, true, Der.sequence()),
        // digitalSignature is bit 0.
        extension(oid.keyUsage, true, Der.bits(Buffer.from([0x80]), 7)),
        extension(oid.extendedKeyUsage, false, Der.sequence(Der.objectId(oid.serverAuth))),
        // Critical where the subject is empty (RFC 5280, 4.2.1.6).
        extension(oid.subjectAltName, host.length > 64, Der.sequence(Der.implicit(2, Buffer.from(host, "latin1")))),
        extension(oid.subjectKeyIdentifier, false, Der.octets(keyIdentifier(leafKey))),
        extension(oid.authorityKeyIdentifier, false, Der.sequence(Der.implicit(0, keyIdentifier(authorityKey))))
      ]
    }, authorityKey)
    return {
      pem,
      renewAt: at + (leafDays - renewDays) * day,
      context: createSecureContext({ key: leafKeyPem, cert: pem, minVersion: "TLSv1.2" })
    }
  }
  const leaf = (host: string): Leaf => {
    const kept = leaves.get(host)
    if (kept !== undefined && now() < kept.renewAt) return kept
    const made = makeLeaf(host)
    leaves.set(host, made)
    return made
  }
  return {
    certificate: own,
    contextFor: (host) => leaf(host).context,
    leafFor: (host) => leaf(host).pem
  }
}
