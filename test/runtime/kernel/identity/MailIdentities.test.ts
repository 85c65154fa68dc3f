/** What is certified of the mail keys that an identity has, and for whom nothing can be. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { certificatesOf } from "../../../../runtime/domain/identity/Certificate.ts"
import { generateMailBoxKey, generateMailSigningKey } from "../../../../runtime/domain/identity/MailIdentity.ts"
import { InstallName, SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import { certifierKey } from "../../../../runtime/kernel/identity/Certifier.ts"
import { certifyMail, mailSecrets } from "../../../../runtime/kernel/identity/MailIdentities.ts"
import { Identities } from "../../../../runtime/ports/Identities.ts"
import { Secrets } from "../../../../runtime/ports/Secrets.ts"
import { World } from "../../../support/ControlWorld.ts"

const install = InstallName.make("km")
const id = SandboxId.make("sb-1a2b3c4d")
const start = 20_000 * 86_400
const [signing = "", , box = ""] = mailSecrets(id, true).map(([path]) => path)

const certified = (world: World, madeAt: number) =>
  Effect.gen(function*() {
    const ports = { identities: yield* Identities, secrets: yield* Secrets }
    const certifier = yield* certifierKey(ports.secrets)
    const who = { install, subject: id, addresses: ["demo@km.invalid"], madeAt }
    const answer = yield* certifyMail(ports, certifier, who)
    const rows = [...world.identities.get(id) ?? []]
    const of = (purpose: "mail" | "mail-box") =>
      certificatesOf(
        certifier.publicKey,
        install,
        id,
        purpose,
        rows.flatMap(([name, key]) => name.startsWith(`${purpose} `) ? [key] : [])
      )
    return { answer, mail: of("mail"), boxes: of("mail-box") }
  }).pipe(Effect.provide(world.layer()))

describe("certifyMail", () => {
  it.effect("certifies nothing without a signing key that can be read", () =>
    Effect.gen(function*() {
      const world = new World()
      world.secrets.set(box, generateMailBoxKey())
      assert.deepStrictEqual(yield* certified(world, 0), { answer: false, mail: [], boxes: [] })
      world.secrets.set(signing, "rubbish")
      assert.deepStrictEqual(yield* certified(world, 0), { answer: false, mail: [], boxes: [] })
    }))

  it.effect("certifies the box key where there is one that can be read", () =>
    Effect.gen(function*() {
      const world = new World()
      world.secrets.set(signing, generateMailSigningKey())
      const alone = yield* certified(world, 0)
      assert.deepStrictEqual([alone.answer, alone.mail.length, alone.boxes.length], [true, 1, 0])
      world.secrets.set(box, "rubbish")
      assert.lengthOf((yield* certified(world, 0)).boxes, 0)
      world.secrets.set(box, generateMailBoxKey())
      const both = yield* certified(world, 0)
      assert.deepStrictEqual([both.mail.length, both.boxes.length], [1, 1])
      assert.deepStrictEqual(both.boxes[0]?.addresses, ["demo@km.invalid"])
    }))

  it.effect("a key is as old as its owner, or as its own first certificate says", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start * 1_000)
      const world = new World()
      world.secrets.set(signing, generateMailSigningKey())
      const beginnings = (madeAt: number) =>
        Effect.map(certified(world, madeAt), ({ mail }) => mail.map(({ notBefore }) => notBefore))
      assert.deepStrictEqual(yield* beginnings(start * 1_000), [start - 300])
      // Its row says another age by now; the certificate was first.
      assert.deepStrictEqual(yield* beginnings(start * 1_000 - 86_400_000), [start - 300])
      world.secrets.set(signing, generateMailSigningKey())
      assert.deepStrictEqual(yield* beginnings(start * 1_000 - 86_400_000), [start - 300, start - 86_700])
    }))
})
