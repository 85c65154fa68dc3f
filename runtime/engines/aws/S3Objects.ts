/** Objects below `objects/{owner}/` of the install's bucket. A large one comes in parts and is there once all are. */
import type { ListObjectsV2CommandOutput } from "@aws-sdk/client-s3"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import type { SandboxId } from "../../domain/sandbox/Ids.ts"
import { ObjectMissing, Objects, objectSegments } from "../../ports/Objects.ts"
import { StoreError } from "../../ports/StoreError.ts"
import { Aws, lazyClient, type Purpose } from "./Aws.ts"
import type { AwsRefusal } from "./AwsFailures.ts"

/** Of one part; S3 takes 5 MiB at least and 10,000 parts at most. */
const partBytes = 8 * 1024 * 1024

/** S3's own limit of one request. */
const batchDeletes = 1_000

const missing = ["NoSuchKey", "NotFound"]

const of = (operation: string): Purpose => ({ port: "Objects", operation })

const plain = <A>(effect: Effect.Effect<A, StoreError | AwsRefusal>): Effect.Effect<A, StoreError> =>
  Effect.catchTag(effect, "AwsRefusal", Effect.die)

/** A listing is XML, which cannot hold every character of a name: names come encoded as in a form. */
const decodeKey = (key: string): string => decodeURIComponent(key.replaceAll("+", " "))

const prefixOf = (owner: SandboxId) => `objects/${owner}/`

const keyOf = (operation: string, owner: SandboxId, name: string) =>
  Effect.as(objectSegments(operation, name), `${prefixOf(owner)}${name}`)

const make = Effect.gen(function*() {
  const aws = yield* Aws
  const Bucket = aws.named(`artifacts-${aws.settings.accountId}`)
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

  const putWhole = (Key: string, bytes: Uint8Array) =>
    plain(
      call(of("put"), "PutObject", { Bucket, Key }, ({ client, sdk }, abortSignal) =>
        client.send(new sdk.PutObjectCommand({ Bucket, Key, Body: bytes }), { abortSignal }))
    )
  /** A part that is sent twice is there once. */
  const putPart = Effect.fnUntraced(function*(Key: string, UploadId: string, PartNumber: number, Body: Uint8Array) {
    const input = { Bucket, Key, UploadId, PartNumber }
    const { ETag } = yield* plain(
      call(
        of("put"),
        "UploadPart",
        input,
        ({ client, sdk }, abortSignal) => client.send(new sdk.UploadPartCommand({ ...input, Body }), { abortSignal })
      )
    )
    return { PartNumber, ETag }
  })
  const begin = Effect.fnUntraced(function*(Key: string) {
    const { UploadId } = yield* plain(
      call(
        of("put"),
        "CreateMultipartUpload",
        { Bucket, Key },
        ({ client, sdk }, abortSignal) =>
          client.send(new sdk.CreateMultipartUploadCommand({ Bucket, Key }), { abortSignal })
      )
    )
    return UploadId ?? ""
  })
  const complete = (Key: string, UploadId: string, Parts: Array<{ PartNumber: number; ETag: string | undefined }>) => {
    const MultipartUpload = { Parts: Parts.map(({ ETag = "", PartNumber }) => ({ ETag, PartNumber })) }
    const input = { Bucket, Key, UploadId, MultipartUpload }
    return plain(
      call(
        of("put"),
        "CompleteMultipartUpload",
        input,
        ({ client, sdk }, abortSignal) => client.send(new sdk.CompleteMultipartUploadCommand(input), { abortSignal })
      )
    )
  }
  /** What is left of one that ended here is removed by the bucket's own rule after a day. */
  const abort = (Key: string, UploadId: string) =>
    Effect.ignore(
      call(of("put"), "AbortMultipartUpload", { Bucket, Key, UploadId }, ({ client, sdk }, abortSignal) =>
        client.send(new sdk.AbortMultipartUploadCommand({ Bucket, Key, UploadId }), { abortSignal }))
    )

  const put = Effect.fnUntraced(function*(Key: string, bytes: Stream.Stream<Uint8Array, StoreError>) {
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
      upload ??= yield* begin(Key)
      parts.push(yield* putPart(Key, upload, parts.length + 1, whole))
    })
    const all = Effect.gen(function*() {
      yield* Stream.runForEach(bytes, (chunk) =>
        Effect.suspend(() => {
          hash.update(chunk)
          size += chunk.length
          waiting.push(chunk)
          waits += chunk.length
          return waits >= partBytes ? flush : Effect.void
        }))
      if (upload === undefined) return yield* putWhole(Key, Buffer.concat(waiting))
      if (waits > 0) yield* flush
      yield* complete(Key, upload, parts)
    })
    yield* Effect.onError(
      all,
      () => upload === undefined ? Effect.void : abort(Key, upload)
    )
    return { size, sha256: hash.digest("hex") }
  })

  const list = Effect.fnUntraced(function*(operation: string, owner: SandboxId) {
    const Prefix = prefixOf(owner)
    const names: Array<string> = []
    let ContinuationToken: string | undefined
    do {
      const input = {
        Bucket,
        Prefix,
        EncodingType: "url" as const,
        ...(ContinuationToken === undefined ? {} : { ContinuationToken })
      }
      const answer: ListObjectsV2CommandOutput = yield* plain(
        call(
          of(operation),
          "ListObjectsV2",
          input,
          ({ client, sdk }, abortSignal) => client.send(new sdk.ListObjectsV2Command(input), { abortSignal })
        )
      )
      for (const { Key = "" } of answer.Contents ?? []) names.push(decodeKey(Key).slice(Prefix.length))
      ContinuationToken = answer.NextContinuationToken
    } while (ContinuationToken !== undefined)
    return names.toSorted()
  })
  const remove = Effect.fnUntraced(function*(operation: string, keys: ReadonlyArray<string>) {
    for (let start = 0; start < keys.length; start += batchDeletes) {
      const batch = keys.slice(start, start + batchDeletes).map((Key) => ({ Key }))
      const input = { Bucket, Delete: { Objects: batch, Quiet: true } }
      const { Errors = [] } = yield* plain(
        call(
          of(operation),
          "DeleteObjects",
          input,
          ({ client, sdk }, abortSignal) => client.send(new sdk.DeleteObjectsCommand(input), { abortSignal })
        )
      )
      const [first] = Errors
      if (first !== undefined) {
        const detail = `${Errors.length} objects could not be deleted (${first.Code ?? "no code"})`
        return yield* new StoreError({ ...of(operation), reason: "Unavailable", detail, cause: undefined })
      }
    }
  })

  return Objects.of({
    put: (owner, name, bytes) => Effect.flatMap(keyOf("put", owner, name), (Key) => put(Key, bytes)),
    get: (owner, name) =>
      Stream.unwrap(Effect.gen(function*() {
        const Key = yield* keyOf("get", owner, name)
        const answer = yield* Effect.catchTag(
          call(of("get"), "GetObject", { Bucket, Key }, ({ client, sdk }, abortSignal) =>
            client.send(new sdk.GetObjectCommand({ Bucket, Key }), { abortSignal }), missing),
          "AwsRefusal",
          () =>
            Effect.fail(new ObjectMissing({ name }))
        )
        const body: AsyncIterable<Uint8Array> | undefined = answer.Body as AsyncIterable<Uint8Array> | undefined
        return body === undefined ? Stream.empty : Stream.fromAsyncIterable(
          body,
          (cause) =>
            new StoreError({ ...of("get"), reason: "Unavailable", detail: "the object's bytes ended early", cause })
        )
      })),
    // The bridge serves links of its own.
    link: () => Effect.succeedNone,
    list: (owner) => list("list", owner),
    delete: (owner, name) => Effect.flatMap(keyOf("delete", owner, name), (Key) => remove("delete", [Key])),
    deleteAll: Effect.fnUntraced(function*(owner) {
      const names = yield* list("deleteAll", owner)
      yield* remove("deleteAll", names.map((name) => `${prefixOf(owner)}${name}`))
    })
  })
})

export const layer: Layer.Layer<Objects, never, Aws> = Layer.effect(Objects, make)
