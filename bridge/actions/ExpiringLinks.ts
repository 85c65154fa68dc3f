/** Links to one object for a while, for channels that refuse files: the address carries what it names and a MAC. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { createHmac, hkdfSync, timingSafeEqual } from "node:crypto"
import { SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import { linkKeyPath } from "../../runtime/domain/slack/FileLinks.ts"
import { Objects } from "../../runtime/ports/Objects.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import { type BridgeRefusal, linkError, refusalOfStore } from "../BridgeErrors.ts"
import { BridgeSettings } from "../BridgeSettings.ts"
import { secretMaxAgeMillis } from "../slack/SlackSecrets.ts"

/** A link works for seven days; nobody can prolong it. */
export const linkMillis = 7 * 24 * 3_600_000

const Named = Schema.Struct({
  owner: SandboxId,
  object: Schema.String,
  filename: Schema.String.check(Schema.isPattern(/^[A-Za-z0-9._-]{1,200}$/)),
  size: Schema.Int,
  /** Unix milliseconds. */
  until: Schema.Int
})
const NamedJson = Schema.fromJsonString(Named)
const encodeNamed = Schema.encodeSync(NamedJson)
const decodeNamed = Schema.decodeUnknownOption(NamedJson)

export class ExpiringLinks extends Context.Service<ExpiringLinks, {
  /** None where there is no address that others can open, or no key to sign with. */
  readonly make: (
    object: Omit<typeof Named.Type, "until">
  ) => Effect.Effect<Option.Option<string>, BridgeRefusal>
  /** `GET /files/{token}`: the bytes as a download, or 404 for everything that does not hold. */
  readonly serve: (token: string) => Effect.Effect<HttpServerResponse.HttpServerResponse>
}>()("km/bridge/actions/ExpiringLinks") {
  static readonly layer = Layer.effect(
    ExpiringLinks,
    Effect.gen(function*() {
      const settings = yield* BridgeSettings
      const secrets = yield* Secrets
      const objects = yield* Objects

      let held: { readonly keys: ReadonlyArray<string>; readonly at: number } | undefined
      /** The key that signs, then the one that is being replaced; kept at most 30 s. */
      const keys = Effect.gen(function*() {
        const now = yield* Clock.currentTimeMillis
        if (held !== undefined && now - held.at < secretMaxAgeMillis) return held.keys
        const stored = yield* secrets.get(linkKeyPath)
        const lines = Option.isNone(stored) ? [] : Redacted.value(stored.value).split(/\s+/)
        held = { keys: lines.filter((line) => line !== "").slice(0, 2), at: now }
        return held.keys
      })

      /** A key of its own, derived, so that no link can be taken for another kind of signature. */
      const macOf = (secret: string, text: string): Buffer =>
        createHmac("sha256", Buffer.from(hkdfSync("sha256", secret, settings.install, "km-file-link-v2", 32)))
          .update(text)
          .digest()

      const make = Effect.fn("ExpiringLinks.make")(function*(object: Omit<typeof Named.Type, "until">) {
        const own = yield* Effect.mapError(
          objects.link(object.owner, object.object, linkMillis / 1_000),
          refusalOfStore
        )
        if (Option.isSome(own)) return own
        const [key] = yield* Effect.mapError(keys, refusalOfStore)
        if (key === undefined || settings.publicUrl === undefined) return Option.none()
        const until = (yield* Clock.currentTimeMillis) + linkMillis
        const text = Buffer.from(encodeNamed({ ...object, until })).toString("base64url")
        return Option.some(`${settings.publicUrl}/files/${text}.${macOf(key, text).toString("base64url")}`)
      })

      const opened = Effect.fnUntraced(function*(token: string) {
        const [text = "", mac = "", ...rest] = token.split(".")
        const given = Buffer.from(mac, "base64url")
        if (rest.length > 0 || given.length !== 32 || text.length > 2_000) return Option.none()
        let holds = false
        for (const key of yield* keys) if (timingSafeEqual(macOf(key, text), given)) holds = true
        if (!holds) return Option.none()
        const named = decodeNamed(Buffer.from(text, "base64url").toString("utf8"))
        const now = yield* Clock.currentTimeMillis
        return Option.filter(named, ({ until }) => now < until)
      })

      const missing = HttpServerResponse.jsonUnsafe(
        { ok: false, error: { code: linkError.code, message: `${linkError.what}; ${linkError.remedy}` } },
        { status: linkError.status }
      )

      const serve = Effect.fn("ExpiringLinks.serve")(function*(token: string) {
        const named = yield* opened(token).pipe(Effect.orElseSucceed(() => Option.none()))
        if (Option.isNone(named)) return missing
        const { filename, object, owner, size } = named.value
        const listed = yield* objects.list(owner).pipe(Effect.orElseSucceed((): ReadonlyArray<string> => []))
        if (!listed.includes(object)) return missing
        return HttpServerResponse.stream(Stream.orDie(objects.get(owner, object)), {
          contentType: "application/octet-stream",
          contentLength: size,
          headers: {
            "content-disposition": `attachment; filename="${filename}"`,
            "x-content-type-options": "nosniff",
            "cache-control": "private, no-store",
            "referrer-policy": "no-referrer"
          }
        })
      })
      return ExpiringLinks.of({ make, serve })
    })
  )
}
