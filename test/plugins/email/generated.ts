/** Messages made from a seed, with everything in them that mail programs get wrong. */
import type { Draft } from "../../../plugins/email/protocol/Draft.ts"
import { alice, bob, carol } from "./world.ts"

/** Mulberry32: small, seeded, good enough to pick test data. */
export const randomFrom = (seed: number) => {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
  const below = (n: number): number => Math.floor(next() * n)
  const pick = <A>(from: readonly [A, ...ReadonlyArray<A>]): A => from[below(from.length)] ?? from[0]
  const some = <A>(most: number, one: () => A): ReadonlyArray<A> => Array.from({ length: below(most + 1) }, one)
  return { below, pick, some }
}

const words = [
  "deploy",
  "ok",
  "Grüße",
  "日本語のとても長い件名です",
  "🧪👩‍💻",
  "é",
  "=?utf-8?Q?not_encoded?=",
  "=?utf-8?B?w7w=?=",
  "\"quoted\"",
  "back\\slash",
  "(comment)",
  "<a@b.example>",
  "a,b;c:d",
  "=3D",
  "100%",
  "x".repeat(120),
  "x".repeat(700),
  "ü".repeat(60),
  "العربية",
  "\u00a0",
  "tab-less",
  "__",
  "?=",
  "=?"
] as const

const lines = [
  "",
  " ",
  "plain text",
  "trailing space ",
  "\ttab",
  ".",
  "..",
  "From the beginning",
  "--",
  "-- ",
  "--=_km-0000000000000000-Part_1",
  "Content-Type: text/html",
  "Grüße aus 日本",
  "=20=3D",
  "y".repeat(1200),
  "ü".repeat(600),
  "\u0000\u0007bell",
  "\ufeffmark",
  "\u2028separator",
  "\u000bvt\u000cff",
  "km-mail-v2"
] as const

const names = [
  "a.txt",
  "größe.bin",
  "日本語.pdf",
  "with space.txt",
  "quote\"s.txt",
  "semi;colon.txt",
  "per%20cent.txt",
  "'single'.txt",
  "(paren).txt",
  "no extension",
  `${"long".repeat(40)}.txt`,
  ".hidden",
  "a=b.txt",
  "comma,comma"
] as const

const types = [
  "text/plain",
  "text/html",
  "text/calendar",
  "application/json",
  "application/octet-stream",
  "image/png",
  "application/ics",
  "text/x-unknown"
] as const

/** A draft from Alice to Bob that is within the rules. */
export const draftFrom = (seed: number): Draft => {
  const { below, pick, some } = randomFrom(seed)
  const subject = some(8, () => pick(words)).join(" ").slice(0, 900)
  const ends = ["\n", "\r\n", "\r"] as const
  const text = some(12, () => `${pick(lines)}${pick(ends)}`).join("")
  const id = () => `<${below(1e9)}.x+y@mail.example>`
  return {
    from: { address: alice.address, name: pick(["", "build.alice", "Ada Lovelace", "Zoë-2", "名前"]) },
    to: [bob.address, ...some(2, () => `p${below(50)}@elsewhere.example`)],
    cc: some(2, () => pick([carol.address, "o'brien+tag@elsewhere.example"])),
    subject: subject.isWellFormed() ? subject : "",
    text,
    attachments: some(3, () => ({
      name: pick(names),
      type: pick(types),
      bytes: Uint8Array.from({ length: below(400) }, () => pick([10, 13, 0, 255, 65, 46, below(256)]))
    })),
    ...(below(2) === 0 ? {} : { replyTo: alice.address }),
    ...(below(2) === 0 ? {} : { inReplyTo: id(), references: some(30, id) }),
    hop: below(5)
  }
}

const fragments = [
  "From: a@b.example\r\n",
  "From: \"a\" <b@c.example>, d\r\n",
  "To: undisclosed-recipients:;\r\n",
  "Subject: =?utf-8?B?????=\r\n",
  "Subject: =?utf-8?Q?a_b?= =?utf-8?Q?c?=\r\n",
  "X-KM-Sender-ID: sb-aaaa1111\r\n",
  "X-KM-Signature: AAAA\r\n",
  "X-KM-Manifest: e30\r\n",
  "X-KM-Manifest-Signature: !\r\n",
  "X-KM-Encrypted: true\r\n",
  "Content-Type: multipart/mixed; boundary=b\r\n",
  "Content-Type: multipart/mixed\r\n",
  "Content-Type: multipart/mixed; boundary=\"\"\r\n",
  "Content-Type: message/rfc822\r\n",
  "Content-Type: text/html\r\n",
  "Content-Type: text/plain; charset=utf-7; format=flowed; delsp=yes\r\n",
  "Content-Type: text/calendar; method=REQUEST\r\n",
  "Content-Transfer-Encoding: base64\r\n",
  "Content-Transfer-Encoding: quoted-printable\r\n",
  "Content-Transfer-Encoding: x-unknown\r\n",
  "Content-Disposition: attachment; filename*0*=utf-8''%E4%; filename*1=\"x\"\r\n",
  "Content-Disposition: inline; filename=../../etc/passwd\r\n",
  "\r\n",
  "\n",
  "\r",
  "--b\r\n",
  "--b--\r\n",
  "--b\n",
  "<p onclick=x>&#99999999;<style>a</style>\r\n",
  "=C3=\r\n=ZZ=\r\n",
  "QUJD\r\nQ===\r\n",
  " folded\r\n",
  "(((((((((\r\n",
  ": no name\r\n",
  "no colon at all\r\n",
  "\u0000\u0001\u0002"
] as const

/** Bytes that look like mail here and there. */
export const garbageFrom = (seed: number): Uint8Array => {
  const { below, pick, some } = randomFrom(seed)
  const text = some(60, () => pick(fragments)).join("")
  const bytes = Buffer.from(text || "x")
  for (let n = below(10); n > 0; n--) bytes[below(bytes.length)] = below(256)
  return bytes
}
