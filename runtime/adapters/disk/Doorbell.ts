/**
 * Wake-ups between the processes of one machine: a file per topic, touched by who has something to say, and one
 * directory watcher per process. A ring that is lost on the way is made good by `lookAgain`; nobody polls busily.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as fs from "node:fs"
import * as path from "node:path"
import { type Bell, counter, makeBell } from "../../ports/Bell.ts"
import { unending } from "../../ports/Unending.ts"
import { errorCode, privateFileMode } from "./PrivateFiles.ts"

/** What another process has changed is heard after this long at the latest (docs/architecture.md). */
export const lookAgainEvery = Duration.seconds(5)

/** Lower-case letters, digits and dashes; it names a file. */
const topicPattern = /^[a-z0-9][a-z0-9-]{0,79}$/

/** Creates or touches the topic's file: either one wakes the watchers of its directory. */
const touch = (file: string): void => {
  const now = new Date()
  try {
    fs.utimesSync(file, now, now)
  } catch (cause) {
    if (errorCode(cause) !== "ENOENT") throw cause
    fs.closeSync(fs.openSync(file, "a", privateFileMode))
  }
}

export class Doorbell extends Context.Service<Doorbell, {
  /** The bell of a topic: rung by this process at once, by others through the file system. */
  readonly topic: (name: string) => Bell
  /** Removes the topic's file; who still waits is woken. */
  readonly forget: (name: string) => Effect.Effect<void>
  /** Wakes whoever waits in this process, on whatever topic. */
  readonly ringAll: Effect.Effect<void>
  /** Completes as soon as anybody waits in this process. */
  readonly awaited: Effect.Effect<void>
}>()("km/runtime/adapters/disk/Doorbell") {
  /** Without a watcher (the system has too few) rings still arrive within this process, others within 5 s. */
  static readonly layer = (directory: string): Layer.Layer<Doorbell> =>
    Layer.effect(
      Doorbell,
      Effect.gen(function*() {
        // One counter for all: who waits on a topic that was forgotten and rung anew has not missed it.
        const tick = counter()
        const bells = new Map<string, Bell>()
        const untouched = new Set<string>()
        const pending = makeBell()
        const begun = makeBell()
        let waiting = 0
        const bellOf = (name: string): Bell => {
          const bell = bells.get(name) ?? makeBell(tick)
          bells.set(name, bell)
          return bell
        }

        const watch = Effect.try(() => {
          const watcher = fs.watch(directory, { persistent: false }, (_event, name) => {
            if (name !== null) bells.get(name)?.ring()
          })
          watcher.on("error", () => watcher.close())
          return watcher
        })
        yield* Effect.acquireRelease(watch, (watcher) => Effect.sync(() => watcher.close())).pipe(
          Effect.catch((error) => Effect.logWarning("the doorbell cannot watch; others are heard within 5 s", error))
        )

        // Many rings of one batch of writes touch each file once.
        const touchPending = Effect.try(() => {
          const names = [...untouched]
          untouched.clear()
          for (const name of names) touch(path.join(directory, name))
        }).pipe(
          Effect.catch((error) => Effect.logWarning("the doorbell cannot ring; others hear within 5 s", error))
        )
        // A command that ends at once has rung nevertheless.
        yield* Effect.addFinalizer(() => touchPending)
        const loop = Effect.suspend(() => {
          const count = pending.count()
          return Effect.andThen(touchPending, pending.wait(count, Duration.infinity))
        })
        yield* Effect.forkScoped(unending("ringing ended in a defect; it goes on", lookAgainEvery, loop))

        return Doorbell.of({
          topic: (name) => {
            if (!topicPattern.test(name)) throw new Error(`${name} cannot name a doorbell`)
            return {
              count: () => bellOf(name).count(),
              wait: (count, longest) =>
                Effect.acquireUseRelease(
                  Effect.sync(() => {
                    if (++waiting === 1) begun.ring()
                  }),
                  () => bellOf(name).wait(count, longest),
                  () => Effect.sync(() => void waiting--)
                ),
              ring: () => {
                bellOf(name).ring()
                untouched.add(name)
                pending.ring()
              }
            }
          },
          forget: (name) =>
            Effect.sync(() => {
              const bell = bells.get(name)
              // Before the ring: who is woken goes on at once, and must find the next bell.
              bells.delete(name)
              bell?.ring()
              untouched.delete(name)
              fs.rmSync(path.join(directory, name), { force: true })
            }),
          awaited: Effect.suspend(() => waiting > 0 ? Effect.void : begun.wait(begun.count(), Duration.infinity)),
          ringAll: Effect.sync(() => {
            // As they are now: who is woken goes on at once, and may ask for another.
            for (const bell of Array.from(bells.values())) bell.ring()
          })
        })
      })
    )
}
