/** What an install has from its first start on: its name, its two operator keys, and a port for its bridge. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { createServer } from "node:net"
import { generateSeed } from "../../runtime/domain/identity/Ed25519.ts"
import { bridgePinPath } from "../../runtime/domain/identity/Revocations.ts"
import { ownUrl, parseListen } from "../../runtime/domain/install/BridgeListen.ts"
import type { BridgeAddress, Install } from "../../runtime/domain/install/Install.ts"
import type { InstallName } from "../../runtime/domain/sandbox/Ids.ts"
import { linkKeyPath } from "../../runtime/domain/slack/FileLinks.ts"
import { certifierKeyPath, signingKeyFromText } from "../../runtime/kernel/identity/Certifier.ts"
import { signingKeyPath } from "../../runtime/kernel/identity/KeyRotation.ts"
import { ensureSecret } from "../../runtime/kernel/identity/MailIdentities.ts"
import { certifyOperatorAnew } from "../../runtime/kernel/mail/OperatorMail.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import type { Backend } from "../Backend.ts"
import { kmError } from "../KmError.ts"

/** The port if it is free on 127.0.0.1, else a free one. */
export const freePort = (wanted: number): Effect.Effect<number> =>
  Effect.callback<number>((resume) => {
    const server = createServer()
    server.once("error", () => resume(wanted === 0 ? Effect.die("no free port on 127.0.0.1") : freePort(0)))
    server.listen({ port: wanted, host: "127.0.0.1", exclusive: true }, () => {
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      server.close(() => resume(Effect.succeed(port)))
    })
  })

/** The key at a path, made when it is missing; refuses one that cannot be used rather than replacing it. */
const keyAt = Effect.fnUntraced(function*(path: string) {
  const secrets = yield* Secrets
  const found = yield* secrets.get(path)
  if (Option.isSome(found)) {
    const key = signingKeyFromText(Redacted.value(found.value))
    if (key !== undefined) return key
    return yield* kmError("KM-CLI-034", `the secret ${path} is no key`, "", "restore it from a backup")
  }
  const text = Buffer.from(generateSeed()).toString("base64")
  yield* secrets.put(path, Redacted.make(text))
  const made = signingKeyFromText(text)
  return made ?? (yield* Effect.die("a fresh seed is a key"))
})

/** What links to files are signed with; there from the start, because under systemd a process sees what was there then. */
const ensureLinkKey = Effect.flatMap(
  Secrets,
  (secrets) => ensureSecret(secrets, linkKeyPath, () => Buffer.from(generateSeed()).toString("base64"))
)

/** Makes the keys that are missing and certifies the operator anew; the certifier's public key. */
const makeKeys = Effect.fnUntraced(function*(backend: Backend, name: InstallName, before: Install | undefined) {
  const certifier = yield* keyAt(certifierKeyPath)
  const certifierPublicKey = Buffer.from(certifier.publicKey).toString("base64")
  if (before !== undefined && before.certifierPublicKey !== certifierPublicKey) {
    return yield* kmError(
      "KM-CLI-034",
      "the certifier's key is not the one of this install",
      "install.json names another public key",
      "restore secrets/certifier from a backup"
    )
  }
  yield* ensureLinkKey
  yield* Effect.scoped(Effect.gen(function*() {
    yield* backend.makingKeys
    yield* keyAt(signingKeyPath("operator"))
    // There from the start, because under systemd a process sees what was there when it started.
    yield* ensureSecret(yield* Secrets, bridgePinPath, () => "0")
    yield* certifyOperatorAnew({ install: name, ...before })
  }))
  return certifierPublicKey
})

/** What an install that was made before needs of its keys to be started without the certifier's. */
export const needOperatorKey = Effect.gen(function*() {
  const path = signingKeyPath("operator")
  const text = yield* (yield* Secrets).get(path)
  if (Option.isSome(text) && signingKeyFromText(Redacted.value(text.value)) !== undefined) return yield* ensureLinkKey
  return yield* kmError(
    "KM-CLI-034",
    `the secret ${path} is ${Option.isSome(text) ? "no key" : "missing"}`,
    "",
    "restore it from a backup"
  )
})

/** The install with what the settings say of its bridge; what they do not say stays as it was. */
export const withBridge = (install: Install, bridge: BridgeAddress): Install => {
  if (Object.keys(bridge).length === 0) return install
  const all = { ...install.bridge, ...bridge }
  const listen = parseListen(all.listen ?? "")
  if (listen === undefined) return { ...install, bridge: all }
  const bridgeUrl = ownUrl(listen)
  return { ...install, bridge: all, bridgeUrl, bridgeHost: new URL(bridgeUrl).host }
}

/** The install that is there, if one is. */
export const foundInstall = Effect.fnUntraced(function*(backend: Backend) {
  const found = yield* Effect.result(backend.install)
  if (Result.isFailure(found) && found.failure.code !== "KM-ENG-006") return yield* found.failure
  return Result.isSuccess(found) ? found.success : undefined
})

/** The install with its keys, made where it is missing; nothing runs yet. All secrets are within reach for as long as this takes. */
export const makeInstall = Effect.fn("FirstRun.make")(
  function*(backend: Backend, name: InstallName, before: Install | undefined) {
    const certifierPublicKey = yield* Effect.provide(makeKeys(backend, name, before), backend.ports("short"))
    const port = before === undefined || before.bridgeUrl === "" ? yield* freePort(0) : undefined
    const made: Install = {
      version: 1,
      ...backend.first,
      install: name,
      slackApiUrl: "https://slack.com/api/",
      local: true,
      bridgeUrl: `http://127.0.0.1:${port}`,
      bridgeHost: `127.0.0.1:${port}`,
      ...before,
      certifierPublicKey
    }
    return made
  }
)

/**
 * The install to start; `install.json` stays as it was but for what the settings say of the bridge and, where the workspace
 * is the local one, the bridge's port. The first run, which a person starts, makes and certifies its keys; later ones do so
 * only if they may use the certifier's key.
 */
export const prepareInstall = Effect.fn("FirstRun.prepare")(
  function*(backend: Backend, name: InstallName, unattendedCertifier: boolean, bridge: BridgeAddress = {}) {
    const before = yield* foundInstall(backend)
    const made = before === undefined || unattendedCertifier
      ? yield* makeInstall(backend, name, before)
      : yield* Effect.as(needOperatorKey, before)
    if (!made.local) {
      const settled = withBridge(made, bridge)
      if (settled !== made) yield* backend.writeInstall(settled)
      return settled
    }
    const port = yield* freePort(Number(new URL(made.bridgeUrl).port))
    const prepared: Install = withBridge({
      ...made,
      bridgeUrl: `http://127.0.0.1:${port}`,
      bridgeHost: `127.0.0.1:${port}`
    }, bridge)
    yield* backend.writeInstall(prepared)
    return prepared
  }
)

/**
 * The model's key goes from our environment into the secrets; true when there is one, now or from an earlier start.
 */
export const adoptModelKey = Effect.fn("FirstRun.adoptModelKey")(function*(key: Option.Option<string>) {
  const secrets = yield* Secrets
  const path = "model/anthropic-api-key"
  const found = yield* secrets.get(path)
  if (Option.isSome(key)) {
    if (Option.isSome(found) && Redacted.value(found.value) === key.value) return true
    yield* secrets.put(path, Redacted.make(key.value))
    return true
  }
  return Option.isSome(found)
})
