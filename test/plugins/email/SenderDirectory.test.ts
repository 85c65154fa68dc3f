/** What certificates make of a sender: whose keys, for how long, under which names. */
import { assert, describe, it } from "@effect/vitest"
import {
  certifiedAlias,
  certifiedSender,
  currentBox,
  hasName,
  keyValidAt,
  type KnownSender,
  v1Sender
} from "../../../plugins/email/protocol/SenderDirectory.ts"
import { signRevocation } from "../../../runtime/domain/identity/Certificate.ts"
import { InstallName } from "../../../runtime/domain/sandbox/Ids.ts"
import { alice, bob, certificate, certifier, install, now, party, revocationsOf, veteran } from "./world.ts"

const window = { notBefore: now - 10, notAfter: now + 10 }
const [key] = alice.known.keys
const [box] = alice.known.boxes
assert.isDefined(key)
assert.isDefined(box)
const withKeys = (...keys: ReadonlyArray<Partial<typeof key>>): KnownSender => ({
  ...alice.known,
  keys: keys.map((changes) => ({ ...key, window, ...changes }))
})
const ended = { window: { notBefore: now - 10, notAfter: now } }
const [id, alias] = alice.addresses
const domain = "mail.example"

const sender = (changes: Partial<Parameters<typeof certifiedSender>[0]> = {}) =>
  certifiedSender({
    certifierPublicKey: certifier.publicKey,
    install,
    sender: alice.sender,
    mail: [certificate(alice.sender, [...alice.addresses, "NO ADDRESS"], "mail", alice.key, window)],
    boxes: [certificate(alice.sender, [], "mail-box", alice.box, window)],
    revocations: revocationsOf([]),
    ...changes
  })
const revocation = (reason: "lost" | "replaced", keyId: typeof key.keyId, until?: number) =>
  signRevocation(certifier, {
    version: 1,
    install,
    number: 1,
    subject: alice.sender,
    keyId,
    reason,
    at: now,
    ...(until === undefined ? {} : { until })
  })

describe("a certified sender", () => {
  it("has the keys that the certifier signed for it, with what it may write from", () => {
    const known = sender()
    assert.deepStrictEqual(
      [known?.sender, known?.promises, known?.keys.length, known?.boxes.length],
      [alice.sender, "v2", 1, 1]
    )
    assert.deepInclude(known?.keys[0], { keyId: alice.key.keyId, addresses: alice.addresses, window, revoked: false })
    assert.deepInclude(known?.boxes[0], { keyId: alice.box.keyId, window, revoked: false })
    assert.deepStrictEqual(Buffer.from(known?.boxes[0]?.publicKey ?? []), Buffer.from(alice.box.publicKey))
  })

  it("is nobody without a mail key: another's, another install's, a box's or another certifier's is none", () => {
    const mail = certificate(alice.sender, [], "mail", alice.key)
    assert.isDefined(sender({ boxes: [], mail: [mail] }))
    assert.deepStrictEqual(sender({ boxes: [], mail: [mail] })?.boxes, [])
    for (
      const changes of [
        { mail: [] },
        { sender: bob.sender },
        { install: InstallName.make("other") },
        { certifierPublicKey: alice.key.publicKey },
        { mail: [certificate(alice.sender, [], "mail-box", alice.key)] },
        { mail: [certificate(alice.sender, [], "mail", alice.key, window, alice.key)] }
      ]
    ) assert.isUndefined(sender(changes))
    assert.deepStrictEqual(sender({ boxes: [mail] })?.boxes, [])
  })

  it("loses a key that is revoked, from its end on", () => {
    const lost = party("sb-aaaa1111", [String(id)], 0, [revocation("lost", alice.key.keyId)])
    assert.deepStrictEqual([lost.known.keys[0]?.revoked, lost.known.boxes[0]?.revoked], [true, false])
    const boxless = party("sb-aaaa1111", [String(id)], 0, [revocation("lost", alice.box.keyId)])
    assert.deepStrictEqual([boxless.known.keys[0]?.revoked, boxless.known.boxes[0]?.revoked], [false, true])
  })
})

describe("a sender of the older form", () => {
  it("has one key of 32 bytes, for all time, and the addresses that the operator named", () => {
    const publicKey = Buffer.from(veteran.key.publicKey)
    const known = v1Sender(veteran.sender, publicKey.toString("base64"), [veteran.address, "no address", "A@B.example"])
    assert.deepInclude(known, { sender: veteran.sender, promises: "v1", boxes: [] })
    assert.lengthOf(known?.keys ?? [], 1)
    assert.deepInclude(known?.keys[0], {
      keyId: veteran.key.keyId,
      addresses: [veteran.address, "a@b.example"] as never,
      window: { notBefore: 0, notAfter: Number.MAX_SAFE_INTEGER },
      revoked: false
    })
    for (
      const odd of [
        "",
        "AAAA",
        publicKey.subarray(1).toString("base64"),
        Buffer.alloc(33).toString("base64"),
        `${publicKey.toString("base64")} `
      ]
    ) {
      assert.isUndefined(v1Sender(veteran.sender, odd, []), odd)
    }
  })
})

const currentOf = (...changes: ReadonlyArray<Partial<typeof box>>) =>
  currentBox({ ...alice.known, boxes: changes.map((each) => ({ ...box, window, ...each })) }, now)

const validAt = (seconds: number) => keyValidAt({ window: { notBefore: 10, notAfter: 20 } }, seconds)

describe("a key's time", () => {
  it("begins with its first second and ends before its last", () => {
    assert.deepStrictEqual([9, 10, 19, 20].map(validAt), [false, true, true, false])
  })

  it("decides which box mail is encrypted for: the newest that is good", () => {
    const [one, two] = [new Uint8Array(1), new Uint8Array(2)]
    assert.strictEqual(currentOf({ publicKey: one }, { publicKey: two })?.publicKey, two)
    assert.strictEqual(currentOf({ publicKey: one }, { publicKey: two, revoked: true })?.publicKey, one)
    assert.strictEqual(currentOf({ publicKey: one }, { publicKey: two, ...ended })?.publicKey, one)
    assert.isUndefined(currentOf({ revoked: true }, ended))
    assert.isUndefined(currentOf())
  })
})

describe("a sender's name", () => {
  it("is the alias of an address of the install, for as long as a key is good for it", () => {
    const local = String(alias).split("@")[0]
    assert.strictEqual(certifiedAlias(withKeys({}), domain, now), local)
    assert.isUndefined(certifiedAlias(undefined, domain, now))
    assert.isUndefined(certifiedAlias(withKeys({}), "other.example", now))
    assert.isUndefined(certifiedAlias(withKeys({ revoked: true }), domain, now))
    assert.isUndefined(certifiedAlias(withKeys(ended), domain, now))
    assert.isUndefined(certifiedAlias(withKeys({ addresses: id === undefined ? [] : [id] }), domain, now))
    assert.strictEqual(certifiedAlias(withKeys({ addresses: [] }, {}), domain, now), local)
  })

  it("is its id for ever, and what the certifier gave it while that lasts", () => {
    const named = (name: string, known: KnownSender | undefined = withKeys({})) =>
      hasName(alice.sender, known, name, domain, now)
    for (const name of [alice.sender, String(id), "build.alice", String(alias)]) assert.isTrue(named(name), name)
    for (const name of ["build", "build.alice@other.example", `${alice.sender}@other.example`, "", "@"]) {
      assert.isFalse(named(name), name)
    }
    for (const known of [withKeys(ended), withKeys({ revoked: true }), withKeys({ addresses: [] }), withKeys()]) {
      assert.isTrue(named(alice.sender, known))
      assert.isFalse(named("build.alice", known))
    }
    assert.isTrue(hasName(alice.sender, undefined, alice.sender, domain, now))
    assert.isFalse(hasName(alice.sender, undefined, "build.alice", domain, now))
    assert.isTrue(named("build.alice", withKeys(ended, {})))
  })
})
