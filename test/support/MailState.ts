/** A state directory with an install and certified sandboxes whose mail a test reads and writes as their runtimes would. */
import { Duration, Effect, Layer, Option, Redacted } from "effect"
import * as path from "node:path"
import type { MailAccountOptions } from "../../plugins/email/AccountDirectory.ts"
import { makeMailAccount } from "../../plugins/email/MailAccount.ts"
import { openStateDirectory, statePaths, writeInstall } from "../../runtime/adapters/disk/StateDirectory.ts"
import { generateSeed, signingKeyFromSeed } from "../../runtime/domain/identity/Ed25519.ts"
import { mailAddressesOf } from "../../runtime/domain/identity/MailIdentity.ts"
import { Alias, InstallName, SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import * as EmbeddedEngine from "../../runtime/engines/embedded/EmbeddedEngine.ts"
import * as FileAudit from "../../runtime/engines/embedded/FileAudit.ts"
import * as FileInstallStore from "../../runtime/engines/embedded/FileInstallStore.ts"
import * as FileSecrets from "../../runtime/engines/embedded/FileSecrets.ts"
import { certifierKeyPath } from "../../runtime/kernel/identity/Certifier.ts"
import { certifyMail, ensureSecret, mailSecrets } from "../../runtime/kernel/identity/MailIdentities.ts"
import { Identities } from "../../runtime/ports/Identities.ts"
import { Mailbox, type MailRelay } from "../../runtime/ports/Mail.ts"
import * as MemoryLedger from "../../runtime/ports/memory/MemoryLedger.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import * as EmbeddedHost from "../../runtime/substrates/process/EmbeddedHost.ts"
import { delivered } from "./deliveredMail.ts"
import { slackProfile } from "./profiles.ts"
import { temporaryDirectory } from "./ScriptedModel.ts"

const install = InstallName.make("km")

/**
 * Scoped: the directory goes with it. `sandboxes` are ids with their aliases; no runtime serves them. The profiles of
 * `deaf` ones let nobody write.
 */
export const mailState = Effect.fnUntraced(function*(
  sandboxes: Readonly<Record<string, string>>,
  deaf: ReadonlyArray<string> = []
) {
  const state = path.join(yield* temporaryDirectory, "state")
  yield* openStateDirectory(state)
  const seed = generateSeed()
  const certifier = signingKeyFromSeed(seed)
  yield* writeInstall(state, {
    version: 1,
    install,
    certifierPublicKey: Buffer.from(certifier.publicKey).toString("base64"),
    // Without a port: the first `km up` finds one.
    bridgeUrl: "http://127.0.0.1",
    bridgeHost: "127.0.0.1",
    slackApiUrl: "http://127.0.0.1/api/",
    local: true
  })
  const ports = yield* Layer.build(
    EmbeddedHost.layer(state).pipe(
      Layer.provideMerge(delivered(EmbeddedEngine.layer(state))),
      Layer.merge(FileSecrets.layer(statePaths(state).secrets)),
      Layer.merge(Layer.provideMerge(FileAudit.layer(state, "operator"), FileInstallStore.layer(state)))
    )
  )
  yield* Effect.gen(function*() {
    const secrets = yield* Secrets
    const identities = yield* Identities
    yield* secrets.put(certifierKeyPath, Redacted.make(Buffer.from(seed).toString("base64")))
    for (const [name, called] of Object.entries(sandboxes)) {
      const id = SandboxId.make(name)
      const alias = Alias.make(called)
      const addresses = mailAddressesOf(id, alias, "km.invalid")
      for (const [secret, make] of mailSecrets(id, true)) yield* ensureSecret(secrets, secret, make)
      yield* certifyMail({ identities, secrets }, certifier, { install, subject: id, addresses, madeAt: Date.now() })
      yield* (yield* Sandboxes).insert({
        id,
        alias,
        install,
        profile: deaf.includes(name)
          ? {
            ...slackProfile,
            spec: { ...slackProfile.spec, email: { ...slackProfile.spec.email, allowedSenders: [] } }
          }
          : slackProfile,
        desired: "stopped",
        status: "stopped",
        unconfined: false,
        createdAt: Date.now(),
        generation: "1",
        inventory: [],
        mailAddresses: addresses
      })
    }
  }).pipe(Effect.provideContext(ports))

  /** The sandbox's own end; `judge` files one waiting message and says what became of it. */
  const accountOf = Effect.fnUntraced(
    function*(name: string, relay?: MailRelay, more: Partial<MailAccountOptions> = {}) {
      const owner = SandboxId.make(name)
      const account = yield* makeMailAccount({
        owner,
        install,
        certifierPublicKey: certifier.publicKey,
        domain: "km.invalid",
        name: "",
        policy: slackProfile.spec.email,
        ...(relay === undefined ? {} : { relay }),
        ...more
      }).pipe(Effect.provide(MemoryLedger.layer))
      const mailbox = yield* Mailbox
      const judge = Effect.gen(function*() {
        const leased = yield* mailbox.lease(owner, Duration.seconds(30))
        return Option.isNone(leased) ? undefined : yield* account.judge(leased.value)
      })
      const letter = { cc: [], bcc: [], encrypt: false, attachments: [] }
      return { ...account, judge, letter }
    },
    Effect.provideContext(ports)
  )

  return { state, ports, accountOf, certifier }
})
