/** Who reads which secret, on a real store: what is not named here is denied to every process that runs by itself. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import {
  bridgeSecrets,
  controlSecrets,
  relayPasswordSecrets,
  relaySecrets,
  runtimeSecrets,
  type SecretsScope
} from "../../../../runtime/domain/install/ProcessSecrets.ts"
import { SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import * as FileSecrets from "../../../../runtime/engines/embedded/FileSecrets.ts"
import { Secrets } from "../../../../runtime/ports/Secrets.ts"
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts"

const all = [
  "bridge/directory-pin",
  "bridge/link-key",
  "certifier/last-revocation",
  "certifier/signing-key",
  "github/github.com/4711/key",
  "mail/relay-password",
  "model/anthropic-api-key",
  "sandbox/operator/mail-signing-key",
  "sandbox/operator/signing-key",
  "sandbox/sb-11111111/github/github.com/99/read",
  "sandbox/sb-11111111/signing-key",
  "sandbox/sb-22222222/encryption-key",
  "slack/bot-token",
  "slack/signing-secret"
]

const ofSandboxes = all.filter((path) => path.startsWith("sandbox/"))
const tokenOfOne = "sandbox/sb-11111111/github/github.com/99/read"
const one = SandboxId.make("sb-11111111")

/** What each may read, write and delete. */
const processes: ReadonlyArray<
  readonly [string, SecretsScope, ReadonlyArray<string>, string[], ReadonlyArray<string>]
> = [
  ["bridge", bridgeSecrets, all.filter((path) => /^(bridge|slack)\//.test(path)), [], []],
  [
    "control plane",
    controlSecrets(false),
    [
      "bridge/directory-pin",
      "github/github.com/4711/key",
      "sandbox/operator/mail-signing-key",
      "sandbox/operator/signing-key",
      tokenOfOne
    ],
    [tokenOfOne],
    ofSandboxes
  ],
  [
    "control plane with the certifier's key",
    controlSecrets(true),
    [
      "bridge/directory-pin",
      "certifier/last-revocation",
      "certifier/signing-key",
      "github/github.com/4711/key",
      ...ofSandboxes
    ],
    ofSandboxes,
    ofSandboxes
  ],
  [
    "runtime of one sandbox",
    runtimeSecrets(one),
    ["model/anthropic-api-key", tokenOfOne, "sandbox/sb-11111111/signing-key"],
    [],
    []
  ],
  [
    "runtime of all",
    runtimeSecrets(undefined),
    [
      "model/anthropic-api-key",
      tokenOfOne,
      "sandbox/sb-11111111/signing-key",
      "sandbox/sb-22222222/encryption-key"
    ],
    [],
    []
  ],
  ["relay's client", relaySecrets, ["mail/relay-password"], [], []],
  [
    "who stores the relay's password",
    relayPasswordSecrets,
    ["mail/relay-password"],
    ["mail/relay-password"],
    ["mail/relay-password"]
  ]
]

/** The paths for which it is not denied; no other failure counts. */
const allowed = <A, E extends { readonly reason: string }>(act: (path: string) => Effect.Effect<A, E>) =>
  Effect.filter(all, (path) =>
    Effect.match(act(path), {
      onSuccess: () => true,
      onFailure: ({ reason }) => {
        assert.strictEqual(reason, "Denied")
        return false
      }
    }))

describe("the secrets of each process", () => {
  it.effect.each(processes)("%s", ([, scope, readable, writable, deletable]) =>
    Effect.gen(function*() {
      const directory = `${yield* temporaryDirectory}/secrets`
      const fill = Effect.flatMap(Secrets, (secrets) =>
        Effect.forEach(all, (path) => secrets.put(path, Redacted.make(path))))
      yield* Effect.provide(fill, FileSecrets.layer(directory))
      yield* Effect.gen(function*() {
        const secrets = yield* Secrets
        assert.deepStrictEqual(yield* allowed(secrets.get), readable)
        assert.deepStrictEqual(
          (yield* secrets.under("")).map(({ path }) =>
            path
          ),
          readable
        )
        assert.deepStrictEqual(yield* allowed((path) => secrets.put(path, Redacted.make("x"))), writable)
        assert.deepStrictEqual(yield* allowed(secrets.delete), deletable)
      }).pipe(Effect.provide(FileSecrets.layerScoped(directory, scope)))
    }).pipe(Effect.scoped))
})
