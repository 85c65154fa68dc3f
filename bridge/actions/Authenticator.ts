/** Who sent a request of `/v2`: certificate, revocations, signature, epoch. Unknown and wrong look alike from outside. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { type Certificate, verifyCertificate } from "../../runtime/domain/identity/Certificate.ts"
import { verifierOf } from "../../runtime/domain/identity/Ed25519.ts"
import { bridgePinPath, checkRevocations, type Revocations } from "../../runtime/domain/identity/Revocations.ts"
import { InstallName, KeyId, RequestId, SenderId } from "../../runtime/domain/sandbox/Ids.ts"
import { bridgeHeaders, maxClockSkewSeconds, signedText } from "../../runtime/domain/slack/BridgeProtocol.ts"
import { sha256Hex } from "../../runtime/domain/text/Digest.ts"
import { type Directory, directoryHolding, directoryMissRestMillis } from "../../runtime/ports/Directory.ts"
import { Identities } from "../../runtime/ports/Identities.ts"
import { Leases } from "../../runtime/ports/Leases.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import { BridgeRefusal, refusalOfStore } from "../BridgeErrors.ts"
import { BridgeSettings } from "../BridgeSettings.ts"

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
}>()("km/bridge/actions/Authenticator") {
  static readonly layer = Layer.effect(
    Authenticator,
    Effect.gen(function*() {
      const settings = yield* BridgeSettings
      const identities = yield* Identities
      const leases = yield* Leases
      const secrets = yield* Secrets
      /** What was found out about the copy of the directory, for as long as it is that copy. */
      let judged: { readonly of: Directory; readonly keys: Map<SenderId, ReadonlyArray<KnownKey>> } | undefined
      let held: { readonly of: Directory; readonly revocations: Revocations } | undefined

      const unauthenticated = new BridgeRefusal({ code: "unauthenticated", detail: "" })

      const keysOf = (directory: Directory, sender: SenderId, now: number): ReadonlyArray<KnownKey> => {
        if (judged?.of !== directory) judged = { of: directory, keys: new Map() }
        const found = judged.keys.get(sender)
        if (found !== undefined) return found
        const purpose = sender === "operator" ? "operator" : "bridge"
        const keys = directory.keysOf(sender, purpose).flatMap((entry): ReadonlyArray<KnownKey> => {
          const certificate = verifyCertificate(settings.certifierPublicKey, entry, Math.floor(now / 1000))
          const ours = certificate !== undefined && certificate.install === settings.install
            && certificate.subject === sender && certificate.purpose === purpose
          return ours ? [{ certificate, verify: verifierOf(Buffer.from(certificate.publicKey, "base64")) }] : []
        })
        // Strangers are not remembered: they could fill the memory.
        if (keys.length > 0) judged.keys.set(sender, keys)
        return keys
      }

      /** The number of the last revocation that this bridge has seen or was told of. */
      const highest = Effect.gen(function*() {
        const pin = yield* Effect.mapError(secrets.get(bridgePinPath), refusalOfStore)
        const pinned = Option.match(pin, { onNone: () => 0, onSome: (text) => Number(Redacted.value(text).trim()) })
        return Math.max(pinned, held?.revocations.highest ?? 0)
      })

      /**
       * Where one was removed or forged, what was known before goes on; a bridge that has not seen them whole since its
       * start believes nobody.
       */
      const revocationsIn = Effect.fnUntraced(function*(copy: Directory) {
        if (held?.of === copy) return held.revocations
        const atLeast = yield* highest
        // A copy with fewer is only older than the word of a newer one; the store with fewer was changed.
        const directory = copy.revocations.length < atLeast
          ? yield* Effect.mapError(identities.directoryNow, refusalOfStore)
          : copy
        const whole = checkRevocations(settings.certifierPublicKey, settings.install, directory.revocations, atLeast)
        const revocations = Result.isSuccess(whole) ? whole.success : held?.revocations
        if (Result.isFailure(whole)) {
          yield* Effect.logError("the identity directory was changed; run `km identity verify`").pipe(
            Effect.annotateLogs({ code: "KM-EML-030", detail: whole.failure.detail })
          )
        }
        if (revocations === undefined) {
          return yield* new BridgeRefusal({ code: "unavailable", detail: "revocations", retryAfterMillis: 10_000 })
        }
        held = { of: directory, revocations }
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
        const directory = yield* Effect.mapError(
          directoryHolding(identities, ({ holds }) => holds(sender, key), { restMillis: directoryMissRestMillis }),
          refusalOfStore
        )
        const known = keysOf(directory, sender, now).find((candidate) =>
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
        const { endOf, isRevoked } = yield* revocationsIn(directory)
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
