/** What a message costs: signing and building, parsing and verifying, and encrypting one attachment for ten readers. */
import * as Effect from "effect/Effect"
import { randomBytes } from "node:crypto"
import MimeNode from "nodemailer/lib/mime-node"
import PostalMime from "postal-mime"
import { MailAddress } from "../../plugins/email/protocol/MailAddress.ts"
import { boxKeyFromPrivate, generateBoxPrivate } from "../../plugins/email/protocol/naclBox.ts"
import type { MailDirectory } from "../../plugins/email/protocol/Reader.ts"
import { readMail } from "../../plugins/email/protocol/readMail.ts"
import { makeSeenMemory } from "../../plugins/email/protocol/SeenMail.ts"
import { certifiedSender, readRevocations } from "../../plugins/email/protocol/SenderDirectory.ts"
import { writeV2 } from "../../plugins/email/protocol/writeMail.ts"
import { certify } from "../../runtime/domain/identity/Certificate.ts"
import { generateSeed, type SigningKey, signingKeyFromSeed } from "../../runtime/domain/identity/Ed25519.ts"
import { InstallName, SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import { type BenchRow, meets, percentile } from "./BenchRow.ts"

const install = InstallName.make("km")
const now = 1_795_435_200
const messages = 3_000
const rounds = 15

const sender = (n: number, certifier: SigningKey) => {
  const id = SandboxId.make(`sb-0000000${n}`)
  const address = MailAddress.make(`${id}@mail.example`)
  const key = signingKeyFromSeed(generateSeed())
  const box = boxKeyFromPrivate(generateBoxPrivate())
  const common = { version: 1, install, subject: id, notBefore: now - 1000, notAfter: now + 1000 } as const
  const row = (purpose: "mail" | "mail-box", made: { keyId: typeof key.keyId; publicKey: Uint8Array }) =>
    certify(certifier, {
      ...common,
      purpose,
      addresses: [address],
      keyId: made.keyId,
      publicKey: Buffer.from(made.publicKey).toString("base64")
    })
  const known = certifiedSender({
    certifierPublicKey: certifier.publicKey,
    install,
    sender: id,
    mail: [row("mail", key)],
    boxes: [row("mail-box", box)],
    revocations: Effect.runSync(readRevocations(certifier.publicKey, install, [], 0))
  })
  if (known === undefined) throw new Error("the bench's own certificate was refused")
  return { id, address, key, box, known, signer: { install, sender: id, key, box } }
}

/** 4 KB of lines as an agent writes them. */
const body = Array.from({ length: 64 }, (_, n) => `${n}: the smoke tests passed on this host in 12 s, nothing to do`)
  .join("\n").slice(0, 4096)

const row = (values: Omit<BenchRow, "area" | "ok">): BenchRow => ({
  area: "mail",
  ...values,
  ok: meets(values.value, values.target)
})

/**
 * Runs `count` times one after the other; how often per second of processor time (what one core does, however many other
 * processes want it), and the latencies in milliseconds of wall-clock time.
 */
const perSecond = Effect.fnUntraced(function*<A, E>(count: number, one: (n: number) => Effect.Effect<A, E>) {
  const latencies: Array<number> = []
  const started = process.cpuUsage()
  for (let n = 0; n < count; n++) {
    const before = performance.now()
    yield* one(n)
    latencies.push(performance.now() - before)
  }
  const { system, user } = process.cpuUsage(started)
  return { rate: count / (user + system) * 1e6, latencies }
})

const program = Effect.gen(function*() {
  const certifier = signingKeyFromSeed(generateSeed())
  const parties = Array.from({ length: 10 }, (_, n) => sender(n, certifier))
  const [from, to] = parties
  if (from === undefined || to === undefined) return yield* Effect.die(new Error("no parties"))
  const directory: MailDirectory<never> = {
    bySender: (id) => Effect.succeed(parties.find((one) => one.id === id)?.known),
    byAddress: () => Effect.undefined
  }
  const reader = { install, addresses: [to.address], boxes: [to.box], nowSeconds: now }
  const boxOf = (address: MailAddress) => {
    const found = parties.find((one) => one.address === address)
    return found === undefined ? undefined : { keyId: found.box.keyId, publicKey: found.box.publicKey }
  }
  const options = { createdSeconds: now, encryption: "off", boxOf } as const
  const draft = { from: { address: from.address }, to: [to.address], subject: "smoke tests", text: body }
  const write = () => Effect.map(writeV2(draft, from.signer, options), ([mail]) => mail?.raw ?? new Uint8Array())
  const seen = makeSeenMemory()
  const check = (raw: Uint8Array, n: number) =>
    Effect.flatMap(
      readMail(raw, reader, directory, seen, String(n)),
      (verdict) =>
        verdict.status === "verified" && !verdict.duplicate
          ? Effect.void
          : Effect.die(new Error(`${verdict.status} ${verdict.reason}`))
    )

  const written = yield* Effect.forEach(Array.from({ length: messages }), write)
  yield* Effect.forEach(written.slice(0, 300), (raw, n) => check(raw, n))
  const building = yield* perSecond(messages, write)
  const reading = yield* perSecond(messages - 300, (n) => check(written[n + 300] ?? new Uint8Array(), n))
  // The libraries alone: the same 4 KB composed and parsed, with nothing of ours around them.
  const composing = yield* perSecond(messages, () =>
    Effect.promise(() => {
      const root = new MimeNode("multipart/mixed")
      root.setHeader("From", from.address)
      root.setHeader("Subject", "smoke tests")
      root.createChild("text/plain").setContent(body)
      return root.build()
    }))
  const parsing = yield* perSecond(messages, (n) => Effect.promise(() => PostalMime.parse(written[n] ?? "")))

  const attachment = {
    name: "build.bin",
    type: "application/octet-stream",
    bytes: new Uint8Array(randomBytes(1024 * 1024))
  }
  const many = { ...draft, to: parties.map((one) => one.address), attachments: [attachment] }
  const seal = () => writeV2(many, from.signer, { ...options, encryption: "required" })
  const [proof] = yield* seal()
  yield* check(proof?.raw ?? new Uint8Array(), -1)
  for (let n = 0; n < 5; n++) yield* seal()
  const sealing = yield* perSecond(rounds, seal)
  const large = yield* perSecond(
    rounds,
    () => Effect.map(seal(), ([mail]) => mail?.raw ?? new Uint8Array())
  )
  const sealed = yield* Effect.forEach(Array.from({ length: rounds }), () => Effect.map(seal(), ([mail]) => mail?.raw))
  const opening = yield* perSecond(rounds, (n) => check(sealed[n] ?? new Uint8Array(), n))
  const all = [...sealing.latencies, ...large.latencies]
  return [
    row({
      name: "sign and build, 4 KB (baseline: nodemailer composing alone)",
      unit: "1/s",
      value: building.rate,
      p50: percentile(building.latencies, 50),
      p99: percentile(building.latencies, 99),
      target: ">= 1500",
      baseline: composing.rate,
      ratio: building.rate / composing.rate
    }),
    row({
      name: "parse and verify, 4 KB (baseline: postal-mime parsing alone)",
      unit: "1/s",
      value: reading.rate,
      p50: percentile(reading.latencies, 50),
      p99: percentile(reading.latencies, 99),
      target: ">= 1500",
      baseline: parsing.rate,
      ratio: reading.rate / parsing.rate
    }),
    row({
      name: "encrypt and sign for 10, 1 MB attachment",
      unit: "ms",
      value: percentile(all, 50),
      p50: percentile(all, 50),
      p99: percentile(all, 99),
      target: "<= 25"
    }),
    row({
      name: "parse, verify and decrypt, 1 MB attachment",
      unit: "ms",
      value: percentile(opening.latencies, 50),
      p50: percentile(opening.latencies, 50),
      p99: percentile(opening.latencies, 99),
      target: ""
    })
  ]
})

export const run = (): Promise<ReadonlyArray<BenchRow>> => Effect.runPromise(program)
