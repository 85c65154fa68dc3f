/** Objects below `objects/{owner}/` of the install's bucket. A large one comes in parts and is there once all are. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { SandboxId } from "../../domain/sandbox/Ids.ts"
import { ObjectMissing, Objects, objectSegments } from "../../ports/Objects.ts"
import type { Purpose } from "./Aws.ts"
import { Bucket } from "./Bucket.ts"

const of = (operation: string): Purpose => ({ port: "Objects", operation })

const prefixOf = (owner: SandboxId) => `objects/${owner}/`

const keyOf = (operation: string, owner: SandboxId, name: string) =>
  Effect.as(objectSegments(operation, name), `${prefixOf(owner)}${name}`)

const make = Effect.gen(function*() {
  const bucket = yield* Bucket
  return Objects.of({
    put: (owner, name, bytes) => Effect.flatMap(keyOf("put", owner, name), (key) => bucket.put(of("put"), key, bytes)),
    get: (owner, name) =>
      Stream.unwrap(Effect.gen(function*() {
        const found = yield* bucket.get(of("get"), yield* keyOf("get", owner, name))
        return Option.isNone(found) ? yield* new ObjectMissing({ name }) : found.value
      })),
    // The bridge serves links of its own.
    link: () => Effect.succeedNone,
    list: Effect.fnUntraced(function*(owner) {
      const prefix = prefixOf(owner)
      const keys = yield* bucket.keys(of("list"), prefix)
      return keys.map((key) => key.slice(prefix.length)).toSorted()
    }),
    delete: (owner, name) => Effect.flatMap(keyOf("delete", owner, name), (key) => bucket.remove(of("delete"), [key])),
    deleteAll: Effect.fnUntraced(function*(owner) {
      yield* bucket.remove(of("deleteAll"), yield* bucket.keys(of("deleteAll"), prefixOf(owner)))
    })
  })
})

export const layer: Layer.Layer<Objects, never, Bucket> = Layer.effect(Objects, make)
