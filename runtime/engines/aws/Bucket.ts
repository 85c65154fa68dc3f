/** The install's bucket as the ports need it: whole objects, in parts where they are large; a reader sees all of one or none. */
import type { ListObjectsV2CommandOutput } from "@aws-sdk/client-s3"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import { StoreError } from "../../ports/StoreError.ts"
import { Aws, lazyClient, type Purpose } from "./Aws.ts"
import type { AwsRefusal } from "./AwsFailures.ts"

/** Of one part; S3 takes 5 MiB at least and 10,000 parts at most. */
const partBytes = 8 * 1024 * 1024

/** S3's own limit of one request. */
const batchDeletes = 1_000

const missing = ["NoSuchKey", "NotFound"]
const there = ["PreconditionFailed"]

const plain = <A>(effect: Effect.Effect<A, StoreError | AwsRefusal>): Effect.Effect<A, StoreError> =>
  Effect.catchTag(effect, "AwsRefusal", Effect.die)

/** A listing is XML, which cannot hold every character of a name: names come encoded as in a form. */
const decodeKey = (key: string): string => decodeURIComponent(key.replaceAll("+", " "))

const make = Effect.gen(function*() {
  const aws = yield* Aws
  const name = aws.named(`artifacts-${aws.settings.accountId}`)
  const opened = yield* lazyClient(async () => {
    const sdk = await import("./s3Sdk.ts")
    // An emulator has no name for each bucket.
    return {
      sdk,
      client: new sdk.S3Client({ ...aws.clientConfig, forcePathStyle: aws.settings.endpoint !== undefined })
    }
  })
  type Opened = Awaited<ReturnType<typeof opened>>
  const call = <A>(
    purpose: Purpose,
    operation: string,
    input: object,
    send: (opened: Opened, signal: AbortSignal) => Promise<A>,
    expected: ReadonlyArray<string> = []
  ) =>
    aws.call(
      { purpose, expected, request: { service: "s3", operation, input } },
      async (signal) => send(await opened(), signal)
    )

  const putWhole = (purpose: Purpose, Key: string, bytes: Uint8Array) =>
    plain(
      call(purpose, "PutObject", { Bucket: name, Key }, ({ client, sdk }, abortSignal) =>
        client.send(new sdk.PutObjectCommand({ Bucket: name, Key, Body: bytes }), { abortSignal }))
    )
  /** A part that is sent twice is there once. */
  const putPart = Effect.fnUntraced(
    function*(purpose: Purpose, Key: string, UploadId: string, PartNumber: number, Body: Uint8Array) {
      const input = { Bucket: name, Key, UploadId, PartNumber }
      const { ETag } = yield* plain(
        call(
          purpose,
          "UploadPart",
          input,
          ({ client, sdk }, abortSignal) => client.send(new sdk.UploadPartCommand({ ...input, Body }), { abortSignal })
        )
      )
      return { PartNumber, ETag }
    }
  )
  const begin = Effect.fnUntraced(function*(purpose: Purpose, Key: string) {
    const { UploadId } = yield* plain(
      call(
        purpose,
        "CreateMultipartUpload",
        { Bucket: name, Key },
        ({ client, sdk }, abortSignal) =>
          client.send(new sdk.CreateMultipartUploadCommand({ Bucket: name, Key }), { abortSignal })
      )
    )
    return UploadId ?? ""
  })
  const complete = (
    purpose: Purpose,
    Key: string,
    UploadId: string,
    Parts: Array<{ PartNumber: number; ETag: string | undefined }>
  ) => {
    const MultipartUpload = { Parts: Parts.map(({ ETag = "", PartNumber }) => ({ ETag, PartNumber })) }
    const input = { Bucket: name, Key, UploadId, MultipartUpload }
    return plain(
      call(
        purpose,
        "CompleteMultipartUpload",
        input,
        ({ client, sdk }, abortSignal) => client.send(new sdk.CompleteMultipartUploadCommand(input), { abortSignal })
      )
    )
  }
  /** What is left of one that ended here is removed by the bucket's own rule after a day. */
  const abort = (purpose: Purpose, Key: string, UploadId: string) =>
    Effect.ignore(
      call(purpose, "AbortMultipartUpload", { Bucket: name, Key, UploadId }, ({ client, sdk }, abortSignal) =>
        client.send(new sdk.AbortMultipartUploadCommand({ Bucket: name, Key, UploadId }), { abortSignal }))
    )

  const put = Effect.fnUntraced(
    function*(purpose: Purpose, Key: string, bytes: Stream.Stream<Uint8Array, StoreError>) {
      const hash = createHash("sha256")
      let size = 0
      let waiting: Array<Uint8Array> = []
      let waits = 0
      let upload: string | undefined
      const parts: Array<{ PartNumber: number; ETag: string | undefined }> = []
      const flush = Effect.gen(function*() {
        const whole = Buffer.concat(waiting)
        waiting = []
        waits = 0
        upload ??= yield* begin(purpose, Key)
        parts.push(yield* putPart(purpose, Key, upload, parts.length + 1, whole))
      })
      const everything = Effect.gen(function*() {
        yield* Stream.runForEach(bytes, (chunk) =>
          Effect.suspend(() => {
            hash.update(chunk)
            size += chunk.length
            waiting.push(chunk)
            waits += chunk.length
            return waits >= partBytes ? flush : Effect.void
          }))
        if (upload === undefined) return yield* putWhole(purpose, Key, Buffer.concat(waiting))
        if (waits > 0) yield* flush
        yield* complete(purpose, Key, upload, parts)
      })
      yield* Effect.onError(
        everything,
        () => upload === undefined ? Effect.void : abort(purpose, Key, upload)
      )
      return { size, sha256: hash.digest("hex") }
    }
  )

  const get = Effect.fnUntraced(function*(purpose: Purpose, Key: string) {
    const answer = yield* Effect.catchTag(
      call(
        purpose,
        "GetObject",
        { Bucket: name, Key },
        ({ client, sdk }, abortSignal) => client.send(new sdk.GetObjectCommand({ Bucket: name, Key }), { abortSignal }),
        missing
      ),
      "AwsRefusal",
      () => Effect.undefined
    )
    if (answer === undefined) return Option.none()
    const body: AsyncIterable<Uint8Array> | undefined = answer.Body as AsyncIterable<Uint8Array> | undefined
    return Option.some<Stream.Stream<Uint8Array, StoreError>>(
      body === undefined ? Stream.empty : Stream.fromAsyncIterable(
        body,
        (cause) => new StoreError({ ...purpose, reason: "Unavailable", detail: "an object's bytes ended early", cause })
      )
    )
  })

  const whole = Effect.fnUntraced(function*(purpose: Purpose, Key: string) {
    const found = yield* get(purpose, Key)
    return Option.isNone(found) ? undefined : Buffer.concat(yield* Stream.runCollect(found.value))
  })

  const listing = Effect.fnUntraced(
    function*(
      purpose: Purpose,
      fixed: { readonly Prefix: string; readonly Delimiter?: string; readonly StartAfter?: string }
    ) {
      const keys: Array<string> = []
      const folders: Array<string> = []
      let ContinuationToken: string | undefined
      do {
        const input = {
          Bucket: name,
          EncodingType: "url" as const,
          ...fixed,
          ...(ContinuationToken === undefined ? {} : { ContinuationToken })
        }
        const answer: ListObjectsV2CommandOutput = yield* plain(
          call(
            purpose,
            "ListObjectsV2",
            input,
            ({ client, sdk }, abortSignal) => client.send(new sdk.ListObjectsV2Command(input), { abortSignal })
          )
        )
        for (const { Key = "" } of answer.Contents ?? []) keys.push(decodeKey(Key))
        for (const { Prefix = "" } of answer.CommonPrefixes ?? []) folders.push(decodeKey(Prefix))
        ContinuationToken = answer.NextContinuationToken
      } while (ContinuationToken !== undefined)
      return { keys, folders }
    }
  )

  return Bucket.of({
    put,
    putBytes: (purpose, key, bytes) => {
      const pieces = function*() {
        for (let at = 0; at < bytes.length; at += partBytes) yield bytes.subarray(at, at + partBytes)
      }
      return Effect.asVoid(put(purpose, key, Stream.fromIterable({ [Symbol.iterator]: pieces })))
    },
    putNew: Effect.fnUntraced(function*(purpose, Key, bytes) {
      const input = { Bucket: name, Key, IfNoneMatch: "*" }
      const done = yield* call(
        purpose,
        "PutObject",
        input,
        ({ client, sdk }, abortSignal) =>
          client.send(new sdk.PutObjectCommand({ ...input, Body: bytes }), { abortSignal }),
        there
      ).pipe(
        Effect.as(true),
        Effect.catchTag("AwsRefusal", () => Effect.succeed(false))
      )
      if (done) return true
      // Its own first attempt, perhaps, whose answer was lost.
      const found = yield* whole(purpose, Key)
      return found?.equals(bytes) === true
    }),
    copy: (purpose, from, Key) => {
      const input = { Bucket: name, Key, CopySource: `${name}/${from}` }
      return Effect.asVoid(plain(
        call(
          purpose,
          "CopyObject",
          input,
          ({ client, sdk }, abortSignal) => client.send(new sdk.CopyObjectCommand(input), { abortSignal })
        )
      ))
    },
    get,
    whole,
    keys: (purpose, Prefix, after) =>
      Effect.map(
        listing(purpose, { Prefix, ...(after === undefined ? {} : { StartAfter: after }) }),
        ({ keys }) => keys
      ),
    folders: (purpose, Prefix) => Effect.map(listing(purpose, { Prefix, Delimiter: "/" }), ({ folders }) => folders),
    remove: Effect.fnUntraced(function*(purpose, keys) {
      for (let start = 0; start < keys.length; start += batchDeletes) {
        const batch = keys.slice(start, start + batchDeletes).map((Key) => ({ Key }))
        const input = { Bucket: name, Delete: { Objects: batch, Quiet: true } }
        const { Errors = [] } = yield* plain(
          call(
            purpose,
            "DeleteObjects",
            input,
            ({ client, sdk }, abortSignal) => client.send(new sdk.DeleteObjectsCommand(input), { abortSignal })
          )
        )
        const [first] = Errors
        if (first !== undefined) {
          const detail = `${Errors.length} objects could not be deleted (${first.Code ?? "no code"})`
          return yield* new StoreError({ ...purpose, reason: "Unavailable", detail, cause: undefined })
        }
      }
    })
  })
})

export class Bucket extends Context.Service<Bucket, {
  readonly put: (
    purpose: Purpose,
    key: string,
    bytes: Stream.Stream<Uint8Array, StoreError>
  ) => Effect.Effect<{ readonly size: number; readonly sha256: string }, StoreError>
  readonly putBytes: (purpose: Purpose, key: string, bytes: Uint8Array) => Effect.Effect<void, StoreError>
  /** False, and nothing changed, where there is another one already. In one part: not for large ones. */
  readonly putNew: (purpose: Purpose, key: string, bytes: Uint8Array) => Effect.Effect<boolean, StoreError>
  /** Keys of our own making, which need no encoding. */
  readonly copy: (purpose: Purpose, from: string, to: string) => Effect.Effect<void, StoreError>
  readonly get: (
    purpose: Purpose,
    key: string
  ) => Effect.Effect<Option.Option<Stream.Stream<Uint8Array, StoreError>>, StoreError>
  readonly whole: (purpose: Purpose, key: string) => Effect.Effect<Buffer | undefined, StoreError>
  /** By UTF-8 bytes; with `after` those that sort behind it. */
  readonly keys: (purpose: Purpose, prefix: string, after?: string) => Effect.Effect<ReadonlyArray<string>, StoreError>
  /** What of the keys is up to the next slash, each once, with it. */
  readonly folders: (purpose: Purpose, prefix: string) => Effect.Effect<ReadonlyArray<string>, StoreError>
  /** Idempotent. */
  readonly remove: (purpose: Purpose, keys: ReadonlyArray<string>) => Effect.Effect<void, StoreError>
}>()("km/runtime/engines/aws/Bucket") {
  static readonly layer: Layer.Layer<Bucket, never, Aws> = Layer.effect(Bucket, Effect.suspend(() => make))
}
