/** Bytes too large for a request: session uploads, attachments. Names are paths under the sender's own prefix. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { SandboxId } from "../domain/sandbox/Ids.ts"
import { StoreError } from "./StoreError.ts"

export class ObjectMissing extends Schema.TaggedError<ObjectMissing>()("ObjectMissing", { name: Schema.String }) {
  override get message(): string {
    return `there is no object ${this.name}`
  }
}

/** 1 to 80 characters, no control characters, no lone surrogates: encoded, a segment fits a file name's 255 bytes. */
const segmentPattern = /^(?!\.{1,2}$)[^\p{Cc}\p{Cs}/\\]{1,80}$/u

/** A file name's limit on every system we run on, percent-encoded. */
const maxSegmentBytes = 240

/** Bytes of UTF-8 of a whole name; S3 takes 1,024 with our prefix before it. Source: Amazon S3 object keys. */
const maxNameBytes = 900

/** The parts of an object's name; `Denied` for a name that could lead out of its owner's prefix or is too long. */
export const objectSegments = (operation: string, name: string): Effect.Effect<ReadonlyArray<string>, StoreError> => {
  const segments = name.split("/")
  const good = segments.length <= 8
    && new TextEncoder().encode(name).length <= maxNameBytes
    && segments.every((segment) =>
      segmentPattern.test(segment) && encodeURIComponent(segment).length <= maxSegmentBytes
    )
  return good ? Effect.succeed(segments) : Effect.fail(
    new StoreError({
      port: "Objects",
      operation,
      reason: "Denied",
      detail: "an object's name is one to eight parts of at most 80 plain characters, 900 bytes in all",
      cause: undefined
    })
  )
}

export class Objects extends Context.Service<Objects, {
  /** Streams to a temporary name, then renames: a reader sees all or nothing. Returns size and SHA-256 hex. */
  readonly put: (
    owner: SandboxId,
    name: string,
    bytes: Stream.Stream<Uint8Array, StoreError>
  ) => Effect.Effect<{ readonly size: number; readonly sha256: string }, StoreError>
  readonly get: (owner: SandboxId, name: string) => Stream.Stream<Uint8Array, StoreError | ObjectMissing>
  /**
   * An address that gives the object to whoever has it, until `seconds` are over; none where the engine has no such
   * addresses, and the bridge serves its own.
   */
  readonly link: (
    owner: SandboxId,
    name: string,
    seconds: number
  ) => Effect.Effect<Option.Option<string>, StoreError>
  /** Sorted. */
  readonly list: (owner: SandboxId) => Effect.Effect<ReadonlyArray<string>, StoreError>
  /** Idempotent. */
  readonly delete: (owner: SandboxId, name: string) => Effect.Effect<void, StoreError>
  readonly deleteAll: (owner: SandboxId) => Effect.Effect<void, StoreError>
}>()("km/runtime/ports/Objects") {}
