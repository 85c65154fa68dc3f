/** One attempt of one bridge request: sign, send, read at most 1 MiB, and say what the answer means. */
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { SigningKey } from "../../domain/identity/Ed25519.ts"
import { signText } from "../../domain/identity/Ed25519.ts"
import type { InstallName, RequestId, SenderId } from "../../domain/sandbox/Ids.ts"
import { BatchAnswer } from "../../domain/slack/BridgeBatch.ts"
import type { BridgeErrorCode, BridgeResult } from "../../domain/slack/BridgeProtocol.ts"
import {
  BridgeAnswer,
  bridgeHeaders,
  maxBridgeBodyBytes,
  retryableBridgeCodes,
  signedText
} from "../../domain/slack/BridgeProtocol.ts"
import { sha256Hex } from "../../domain/text/Digest.ts"

/** What one attempt came to. */
export type Attempt = Data.TaggedEnum<{
  /** Acknowledged; `result` may be the recorded one of an earlier attempt. */
  Done: {
    readonly result: BridgeResult
    /** Of a batch: the answer to each of its actions. */
    readonly answers?: ReadonlyArray<BridgeAnswer>
  }
  /** The bridge's final word for this request. */
  Refused: { readonly code: BridgeErrorCode; readonly detail: string }
  /** Nothing is known, or the bridge asks to come again; not before `afterMillis` when it says so. */
  Again: {
    readonly code: BridgeErrorCode
    readonly detail: string
    readonly afterMillis: number | undefined
  }
}>
export const Attempt = Data.taggedEnum<Attempt>()

/** Where requests go and in whose name. */
export interface BridgeAddress {
  /** Base URL of the bridge without `/v2`. */
  readonly url: string
  /** What the signature names; the URL's host with its port unless the install says otherwise. */
  readonly host: string
  readonly install: InstallName
  readonly sender: SenderId
}

/** One request: `body` stays the same over all attempts, so that its digest is the same. */
export interface WireRequest {
  readonly id: RequestId
  readonly body: string
  readonly key: SigningKey
  readonly epoch: number
}

const path = "/v2"

/**
 * Final for the request when they come from another room's rule, but not here: a stale epoch ends with the lease that
 * this runtime then loses, and a clock that is off may be put right; both must not lose an answer on the way.
 */
const patientCodes: ReadonlySet<BridgeErrorCode> = new Set(["stale_epoch", "stale_timestamp"])

const decodeBatch = Schema.decodeUnknownOption(Schema.fromJsonString(BatchAnswer))
const decodeAnswer = Schema.decodeUnknownOption(Schema.fromJsonString(BridgeAnswer))

/** `Retry-After` in milliseconds, from its number of seconds; the date form is not used by our bridge. */
const retryAfterOf = (response: HttpClientResponse.HttpClientResponse): number | undefined => {
  const seconds = Number(response.headers["retry-after"] ?? "")
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds, 3_600) * 1_000 : undefined
}

/** The whole body as text, or none when it is larger than the cap. */
const cappedText = (response: HttpClientResponse.HttpClientResponse) => {
  const chunks: Array<Uint8Array> = []
  let size = 0
  return response.stream.pipe(
    Stream.takeWhile((chunk) => {
      size += chunk.length
      return size <= maxBridgeBodyBytes
    }),
    Stream.runForEach((chunk) => Effect.sync(() => void chunks.push(chunk))),
    Effect.map(() => size <= maxBridgeBodyBytes ? Option.some(Buffer.concat(chunks).toString("utf8")) : Option.none())
  )
}

/** The meaning of a status and a body; a body that is none of ours comes from something in between. */
export const readAnswer = (status: number, body: string | undefined, retryAfterMillis: number | undefined): Attempt => {
  const answer = body === undefined ? Option.none() : decodeAnswer(body)
  if (Option.isNone(answer)) {
    return Attempt.Again({
      code: status === 429 ? "rate_limited" : "unavailable",
      detail: `the bridge's address answered ${status} with a body that is not the bridge's`,
      afterMillis: retryAfterMillis
    })
  }
  const batch = body === undefined || !body.includes("\"answers\"") ? Option.none() : decodeBatch(body)
  return Option.isSome(batch)
    ? Attempt.Done({ result: { ok: true }, answers: batch.value.answers })
    : meaningOf(answer.value, retryAfterMillis)
}

/** What the answer to one action says. */
export const meaningOf = (answer: BridgeAnswer, retryAfterMillis: number | undefined): Attempt => {
  if (answer.ok) return Attempt.Done({ result: answer })
  const { error, recorded } = answer
  if (error.code === "already_done" && recorded !== undefined) return Attempt.Done({ result: recorded })
  const again = retryableBridgeCodes.has(error.code) || patientCodes.has(error.code)
  return again
    ? Attempt.Again({
      code: error.code,
      detail: error.message,
      afterMillis: error.retryAfterMillis ?? retryAfterMillis
    })
    : Attempt.Refused({ code: error.code, detail: error.message })
}

/** Sends one request once, with a fresh timestamp and signature. Never fails: the answer says what is next. */
export const makeAttempt = (http: HttpClient.HttpClient, address: BridgeAddress, timeoutMillis: number) =>
  Effect.fn("BridgeWire.attempt")(function*(request: WireRequest) {
    const timestamp = String(Math.floor((yield* Clock.currentTimeMillis) / 1_000))
    const fields = {
      install: address.install,
      host: address.host,
      method: "POST",
      path,
      sender: address.sender,
      key: request.key.keyId,
      epoch: String(request.epoch),
      id: request.id,
      timestamp,
      bodySha256: sha256Hex(request.body)
    }
    const message = HttpClientRequest.post(`${address.url.replace(/\/+$/, "")}${path}`).pipe(
      HttpClientRequest.setHeaders({
        [bridgeHeaders.install]: fields.install,
        [bridgeHeaders.sender]: fields.sender,
        [bridgeHeaders.key]: fields.key,
        [bridgeHeaders.epoch]: fields.epoch,
        [bridgeHeaders.id]: fields.id,
        [bridgeHeaders.timestamp]: timestamp,
        [bridgeHeaders.signature]: signText(request.key, signedText(fields))
      }),
      HttpClientRequest.bodyText(request.body, "application/json")
    )
    const exchange = Effect.gen(function*() {
      const response = yield* http.execute(message)
      const text = yield* cappedText(response)
      return readAnswer(response.status, Option.getOrUndefined(text), retryAfterOf(response))
    })
    return yield* exchange.pipe(
      Effect.timeoutOrElse({
        duration: timeoutMillis,
        orElse: () =>
          Effect.succeed(Attempt.Again({
            code: "unavailable",
            detail: `the bridge did not answer within ${timeoutMillis} ms`,
            afterMillis: undefined
          }))
      }),
      Effect.catch((error) =>
        Effect.succeed(Attempt.Again({
          code: "unavailable",
          detail: `the bridge could not be reached: ${error.message}`,
          afterMillis: undefined
        }))
      )
    )
  })
