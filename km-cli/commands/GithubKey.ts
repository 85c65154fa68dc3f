/** `km github key FILE`: another private key of an App that is here already; kept only if GitHub takes it. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { appKeyPath } from "../../runtime/domain/github/AppSettings.ts"
import { asciiLowerCase } from "../../runtime/domain/text/Ascii.ts"
import { GithubApps } from "../../runtime/ports/GithubApps.ts"
import { InstallStore } from "../../runtime/ports/InstallStore.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import { audited, githubError, githubTrouble, installTrouble } from "../github/trouble.ts"
import { kmError } from "../KmError.ts"
import { opened } from "../Opened.ts"
import { data } from "../Output.ts"

/** More than any key has. */
const maxBytes = 16 * 1024

/** As GitHub hands it out, RSA in PKCS#1, or in PKCS#8. */
const pem = /^-----BEGIN (RSA )?PRIVATE KEY-----\n[A-Za-z0-9+/=\n]{1000,3500}\n-----END (RSA )?PRIVATE KEY-----\n?$/u

const named = (given: Option.Option<string>, value: string) =>
  Option.isNone(given) || asciiLowerCase(given.value) === value

export const githubKey = Effect.fn("km.github.key")(function*(input: {
  readonly file: string
  readonly host: Option.Option<string>
  readonly owner: Option.Option<string>
}) {
  const { backend } = yield* opened
  yield* backend.install
  const text = yield* Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    let read = 0
    // A key may come by a pipe; what never ends is no key.
    const parts = Stream.takeUntil(fs.stream(input.file), (part) => (read += part.length) > maxBytes)
    return yield* Stream.mkString(Stream.decodeText(parts))
  }).pipe(
    Effect.mapError(() => kmError("KM-CLI-001", `${input.file} cannot be read`, "give the .pem that GitHub gave out"))
  )
  const key = text.replaceAll("\r\n", "\n")
  if (!pem.test(key)) {
    return yield* kmError("KM-CLI-001", `${input.file} is no private key`, "give the .pem that GitHub gave out")
  }
  const app = yield* Effect.gen(function*() {
    const { github = [] } = yield* Effect.mapError((yield* InstallStore).get, installTrouble)
    const found = github.filter(({ host, owner }) => named(input.host, host) && named(input.owner, owner))
    const [one] = found
    if (one === undefined || found.length > 1) {
      return yield* githubError(
        "KM-GHA-001",
        one === undefined ? 3 : 5,
        one === undefined ? "there is no such GitHub App" : "the key could be of several GitHub Apps",
        github.map(({ host, owner, slug }) => `${slug} of ${owner} on ${host}`).join(", ") || "this install has none",
        one === undefined ? "km github" : "say which with --host and --owner"
      )
    }
    const secrets = yield* Secrets
    const apps = yield* GithubApps
    const path = appKeyPath(one)
    const before = yield* secrets.get(path)
    yield* audited("github.app.key", `${one.host}/${one.slug}`)(
      secrets.put(path, Redacted.make(key)).pipe(
        Effect.andThen(apps.app(one)),
        Effect.onError(() =>
          Option.isSome(before) ? Effect.ignore(secrets.put(path, before.value)) : Effect.ignore(secrets.delete(path))
        )
      )
    ).pipe(Effect.catchTag("GithubFailed", (error) => Effect.fail(githubTrouble(error))))
    return one
  }).pipe(Effect.provide(backend.ports("short")))
  yield* data([`GitHub takes the key; it is used from the next token of ${app.slug} on`], {
    ok: true,
    app: { host: app.host, app: app.app, slug: app.slug }
  })
})
