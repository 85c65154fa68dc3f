/** Who sent a request of `/v2`: certificate, revocations, signature, epoch. Unknown and wrong look alike from outside. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { bridgeHeaders, maxClockSkewSeconds, signedText } from "../../runtime/domain/BridgeProtocol.ts"
import { type Certificate, verifyCertificate } from "../../runtime/domain/Certificate.ts"
import { sha256Hex } from "../../runtime/domain/Digest.ts"
import { verifierOf } from "../../runtime/domain/Ed25519.ts"
import { InstallName, KeyId, RequestId, SenderId } from "../../runtime/domain/Ids.ts"
import { bridgePinPath, checkRevocations, type Revocations } from "../../runtime/domain/Revocations.ts"
import { Identities } from "../../runtime/ports/Identities.ts"
import { Leases } from "../../runtime/ports/Leases.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import { BridgeRefusal, refusalOfStore } from "../BridgeErrors.ts"
import { BridgeSettings } from "../BridgeSettings.ts"

/** Keys and revocations are read at most this stale, so that a revoked key stops within 60 s. */
const directoryMaxAgeMillis = 30_000
const maxCachedSenders = 2_000
/** Signatures that one request may carry while a key is rotated. */
const maxSignatures = 4

const RequestHeaders = Schema.Struct({
  [bridgeHeaders.install]: InstallName,
  [bridgeHeaders.sender]: SenderId,
  [bridgeHeaders.key]: KeyId,
  [bridgeHeaders.epoch]: Schema.String.check(Schema.isPattern(/^(0|[1-9]\d{0,14})$/)),
  [bridgeHeaders.id]: RequestId,
  [bridgeHeaders.timestamp]: Schema.String.check(Schema.isPattern(/^\d{9,12}$/)),
  [bridgeHeaders.signature]: Schema.String.check(Schema.isPattern(/^[A-Za-z0-9+/=, ]{80,500}$/))
})
const decodeHeaders = Schema.decodeUnknownOption(RequestHeaders)

/** A request whose signature holds. */
export interface Caller {
  readonly sender: SenderId
  readonly id: RequestId
}

interface KnownKey {
  readonly certificate: Certificate
  readonly verify: (text: string, signature: string) => boolean
}

export class Authenticator extends Context.Service<Authenticator, {
  readonly check: (request: {
    readonly method: string
    readonly path: string
    readonly headers: Readonly<Record<string, string | undefined>>
    readonly body: Uint8Array
  }) => Effect.Effect<Caller, BridgeRefusal>
}>()("km/bridge/v2/Authenticator") {
  static readonly layer = Layer.effect(
    Authenticator,
    Effect.gen(function*() {
      const settings = yield* BridgeSettings
      const identities = yield* Identities
      const leases = yield* Leases
      const secrets = yield* Secrets
      const directory = new Map<SenderId, { readonly keys: ReadonlyArray<KnownKey>; readonly at: number }>()
      let held: { readonly revocations: Revocations; readonly at: number } | undefined

      const unauthenticated = new BridgeRefusal({ code: "unauthenticated", detail: "" })

      const keysOf = Effect.fnUntraced(function*(sender: SenderId, key: KeyId, now: number) {
        const found = directory.get(sender)
        // A key made a moment ago is not in what we hold: its first request must not wait out the cache.
        const holdsIt = found?.keys.some(({ certificate }) => certificate.keyId === key)
        if (found !== undefined && holdsIt === true && now - found.at < directoryMaxAgeMillis) return found.keys
        const purpose = sender === "operator" ? "operator" : "bridge"
        const certified = yield* Effect.mapError(identities.keys(sender, purpose), refusalOfStore)
        const keys = certified.flatMap((entry): ReadonlyArray<KnownKey> => {
          const certificate = verifyCertificate(settings.certifierPublicKey, entry, Math.floor(now / 1000))
          const ours = certificate !== undefined && certificate.install === settings.install
            && certificate.subject === sender && certificate.purpose === purpose
          return ours ? [{ certificate, verify: verifierOf(Buffer.from(certificate.publicKey, "base64")) }] : []
        })
        // Strangers are not remembered: they could fill the memory.
        if (keys.length > 0) {
          if (directory.size >= maxCachedSenders) directory.clear()
          directory.set(sender, { keys, at: now })
        }
        return keys
      })

      /**
       * Where one was removed or forged, what was known before goes on; a bridge that has not seen them whole since its
       * start believes nobody.
       */
      const revocationsAt = Effect.fnUntraced(function*(now: number) {
        if (held !== undefined && now - held.at < directoryMaxAgeMillis) return held.revocations
        const signed = yield* Effect.mapError(identities.revocations, refusalOfStore)
        const pin = yield* Effect.mapError(secrets.get(bridgePinPath), refusalOfStore)
        const pinned = Option.match(pin, { onNone: () => 0, onSome: (text) => Number(Redacted.value(text).trim()) })
        const atLeast = Math.max(pinned, held?.revocations.highest ?? 0)
        const whole = checkRevocations(settings.certifierPublicKey, settings.install, signed, atLeast)
        const revocations = Result.isSuccess(whole) ? whole.success : held?.revocations
        if (Result.isFailure(whole)) {
          yield* Effect.logError("the identity directory was changed; run `km identity verify`").pipe(
            Effect.annotateLogs({ code: "KM-EML-030", detail: whole.failure.detail })
          )
        }
        if (revocations === undefined) {
          return yield* new BridgeRefusal({ code: "unavailable", detail: "revocations", retryAfterMillis: 10_000 })
        }
        held = { revocations, at: now }
        return revocations
      })

      const check = Effect.fn("Authenticator.check")(function*(request: {
        readonly method: string
        readonly path: string
        readonly headers: Readonly<Record<string, string | undefined>>
        readonly body: Uint8Array
      }) {
        const decoded = decodeHeaders(request.headers)
        if (Option.isNone(decoded)) return yield* new BridgeRefusal({ code: "bad_header", detail: "" })
        const {
          "km-epoch": epoch,
          "km-id": id,
          "km-install": install,
          "km-key": key,
          "km-sender": sender,
          "km-signature": signature,
          "km-timestamp": timestamp
        } = decoded.value
        const now = yield* Clock.currentTimeMillis
        if (Math.abs(Math.floor(now / 1000) - Number(timestamp)) > maxClockSkewSeconds) {
          return yield* new BridgeRefusal({ code: "stale_timestamp", detail: "" })
        }
        const known = (yield* keysOf(sender, key, now)).find((candidate) =>
          candidate.certificate.keyId === key && candidate.certificate.notAfter > now / 1000
        )
        const text = signedText({
          install,
          host: settings.host,
          method: request.method,
          path: request.path,
          sender,
          key,
          epoch,
          id,
          timestamp,
          bodySha256: sha256Hex(request.body)
        })
        const signatures = signature.split(/[, ]+/).slice(0, maxSignatures)
        const holds = signatures.some((one) => (known?.verify ?? nobody)(text, one))
        if (!holds || known === undefined || install !== settings.install) return yield* unauthenticated
        const { endOf, isRevoked } = yield* revocationsAt(now)
        if (isRevoked(sender, key) || (endOf(sender, key) ?? Infinity) <= now / 1_000) {
          return yield* new BridgeRefusal({ code: "revoked_key", detail: key })
        }
        if (sender !== "operator") {
          const lease = yield* Effect.mapError(leases.current(sender), refusalOfStore)
          if (Option.isSome(lease) && Number(epoch) < lease.value.epoch) {
            return yield* new BridgeRefusal({ code: "stale_epoch", detail: `${epoch} < ${lease.value.epoch}` })
          }
        }
        return { sender, id }
      })
      return Authenticator.of({ check })
    })
  )
}

/** Verifies as long as a real key would, and never holds: a stranger cannot time out who exists. */
const nobody = verifierOf(Buffer.from("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "hex"))
