/** A create that crashes, or that a destroy overtakes, at every single call of a port: with Slack and mail, and with GitHub. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, Layer, Result } from "effect"
import { Install } from "../../../../runtime/domain/install/Install.ts"
import type { Profile } from "../../../../runtime/domain/profile/Profile.ts"
import { Alias, InstallName, SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import { signingKeyPath } from "../../../../runtime/kernel/identity/KeyRotation.ts"
import { Provisioning } from "../../../../runtime/kernel/sandboxes/Provisioning.ts"
import { Teardown } from "../../../../runtime/kernel/sandboxes/Teardown.ts"
import { World } from "../../../support/ControlWorld.ts"
import { MemoryGithub } from "../../../support/MemoryGithub.ts"
import { profileWith, slackProfile } from "../../../support/profiles.ts"

const id = SandboxId.make("sb-1a2b3c4d")
const install = InstallName.make("km")

/** The install's GitHub, and programs on the world, each as a process of its own: services are built anew. */
class Place {
  readonly world = new World()
  readonly github = new MemoryGithub()
  readonly profile: Profile

  constructor(profile: Profile) {
    this.profile = profile
    this.world.github = this.github.service
    this.world.installStore.install = Install.make({
      version: 1,
      install,
      certifierPublicKey: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
      bridgeUrl: "http://127.0.0.1:1",
      bridgeHost: "127.0.0.1",
      slackApiUrl: "http://127.0.0.1:1/api/",
      local: true,
      github: [this.github.settings]
    })
  }

  private on<A, E>(effect: Effect.Effect<A, E, Provisioning | Teardown>) {
    const layer = Provisioning.layer.pipe(Layer.provideMerge(Teardown.layer), Layer.provide(this.world.layer()))
    return Effect.suspend(() => Effect.provide(effect, layer))
  }
  readonly create = this.on(Effect.flatMap(Provisioning, (provisioning) =>
    provisioning.create({
      id,
      install,
      alias: Alias.make("demo"),
      profile: this.profile,
      unconfined: false,
      readyWithin: Duration.seconds(60)
    })))
  readonly destroy = this.on(Effect.flatMap(Teardown, (teardown) => teardown.run(id, "destroyed")))

  /** Its tokens as they lie among its secrets. */
  readonly stored = () =>
    [...this.world.secrets].flatMap(([path, text]) =>
      path.startsWith(`sandbox/${id}/github/`) ? [text.split("\n")[0] ?? ""] : []
    )

  /**
   * Without the tokens that a renewal replaced: a create that went on renewed those of the first try, which are kept
   * until the next renewal.
   */
  readonly snapshot = () => {
    const { secrets, ...rest } = this.world.snapshot()
    return { ...rest, secrets: secrets.filter((path) => !path.endsWith("-before")) }
  }

  /** What there is of sandboxes. An address that had a former holder leaves a revocation, which is the install's. */
  readonly ofSandboxes = () => {
    const { secrets, ...rest } = this.world.snapshot()
    return { ...rest, secrets: secrets.filter((path) => path.startsWith("sandbox/")) }
  }
}

const withGithub = {
  sourceAccess: {
    mode: "allowlist",
    github: { allowedRepos: ["org/api", "org/web"], allowedRefs: ["main"], capabilities: ["pulls"] }
  }
}
const profiles: ReadonlyArray<readonly [string, Profile]> = [
  ["with Slack and mail", slackProfile],
  ["with GitHub alone", profileWith({ notifyEmailEnabled: false }, withGithub)],
  ["with everything", profileWith(slackProfile.spec.cli, withGithub)]
]

for (const [what, profile] of profiles) {
  /** How many port calls an undisturbed create makes. */
  const callsOf = Effect.gen(function*() {
    const place = new Place(profile)
    place.world.crashing(0, "before")
    yield* place.create
    return place.world.calls
  })

  /** What GitHub still takes at the end was never written down: at most the two of the try that crashed. */
  const onlyLost = ({ github }: Place, stored: ReadonlyArray<string>, at: string) => {
    assert.deepStrictEqual(stored.filter((token) => github.living.has(token)), [], at)
    assert.isAtMost(github.living.size, 2, at)
  }

  describe(`a create ${what}`, () => {
    it.effect("that crashes at any call is continued by the same create, to the same end", () =>
      Effect.gen(function*() {
        const calls = yield* callsOf
        assert.isAbove(calls, 20)
        const whole = new Place(profile)
        yield* whole.create
        const grants = profile.spec.sourceAccess.github.allowedRepos.length > 0 ? 1 : 0
        assert.lengthOf(whole.world.rows.get(id)?.github ?? [], grants)
        assert.strictEqual(whole.github.living.size, 2 * grants)
        for (let at = 1; at <= calls; at++) {
          for (const phase of ["before", "after"] as const) {
            const where = `call ${at} ${phase}`
            const place = new Place(profile)
            place.world.crashing(at, phase)
            const exit = yield* Effect.exit(place.create)
            assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause), where)
            place.world.crashing(0, "before")
            const row = yield* place.create
            assert.deepStrictEqual(place.snapshot(), whole.snapshot(), where)
            assert.deepStrictEqual(row.inventory, whole.world.rows.get(id)?.inventory, where)
            assert.deepStrictEqual(row.github, whole.world.rows.get(id)?.github, where)
            assert.isTrue(place.stored().every((token) => place.github.living.has(token)), where)
            assert.strictEqual(
              place.world.identities.get(id)?.size,
              whole.world.identities.get(id)?.size,
              `one key of each purpose after ${where}`
            )
          }
        }
      }))

    it.effect("that crashes at any call is undone by destroy, to the last thing", () =>
      Effect.gen(function*() {
        const calls = yield* callsOf
        const before = new World().snapshot()
        for (let at = 1; at <= calls; at++) {
          for (const phase of ["before", "after"] as const) {
            const where = `call ${at} ${phase}`
            const place = new Place(profile)
            place.world.crashing(at, phase)
            yield* Effect.exit(place.create)
            place.world.crashing(0, "before")
            const stored = place.stored()
            yield* place.destroy
            assert.deepStrictEqual(place.world.snapshot(), before, where)
            onlyLost(place, stored, where)
          }
        }
      }))

    it.effect("that a destroy overtakes at any call leaves nothing, and says so", () =>
      Effect.gen(function*() {
        const calls = yield* callsOf
        let overtaken = 0
        for (let at = 1; at <= calls; at++) {
          const place = new Place(profile)
          place.world.interrupting(at, Effect.ignore(place.destroy))
          const result = yield* Effect.result(place.create)
          // What a person who sees a success then destroys, and the world is as before in every case.
          const left = place.world.rows.has(id)
          if (Result.isFailure(result)) {
            assert.strictEqual(result.failure.code, "KM-CLI-102", `call ${at}: ${result.failure.message}`)
            assert.include(result.failure.reason, "destroyed while it was being made")
            assert.isFalse(left, `call ${at}`)
            overtaken += 1
          } else if (left) yield* place.destroy
          assert.deepStrictEqual(place.ofSandboxes(), new Place(profile).ofSandboxes(), `call ${at}`)
          assert.deepStrictEqual([...place.github.living], [], `call ${at}`)
        }
        assert.isAbove(overtaken, calls / 2)
      }))

    it.effect("that a destroy overtakes and cannot finish undoes nothing of it", () =>
      Effect.gen(function*() {
        const calls = yield* callsOf
        let stopped = 0
        for (let at = 1; at <= calls; at++) {
          const place = new Place(profile)
          const { world } = place
          let ending = false
          world.interrupting(
            at,
            Effect.gen(function*() {
              world.bridgeDown = true
              yield* Effect.ignore(place.destroy)
              world.bridgeDown = false
              ending = world.rows.get(id)?.status === "destroying"
            })
          )
          const result = yield* Effect.result(place.create)
          if (!ending) continue
          stopped += 1
          const { desired, status } = world.rows.get(id) ?? {}
          assert.deepStrictEqual([desired, status], ["destroyed", "destroying"], `call ${at}`)
          // By its last call, which reads what it returns, it was made.
          const code = Result.isFailure(result) ? result.failure.code : "made"
          assert.strictEqual(code, at === calls ? "made" : "KM-CLI-102", `call ${at}`)
          yield* place.destroy
          assert.deepStrictEqual(place.ofSandboxes(), new Place(profile).ofSandboxes(), `call ${at}`)
          assert.deepStrictEqual([...place.github.living], [], `call ${at}`)
        }
        assert.strictEqual(stopped > calls / 2, profile.spec.cli.notifySlackEnabled)
      }))

    it.effect("of a destroyed life is no part of the next one", () =>
      Effect.gen(function*() {
        const calls = yield* callsOf
        for (let at = 3; at <= calls; at++) {
          const place = new Place(profile)
          const next = Effect.ignore(Effect.andThen(place.destroy, place.create))
          place.world.interrupting(at, next)
          const result = yield* Effect.result(place.create)
          const row = place.world.rows.get(id)
          if (row === undefined) continue
          // The second life stands whole, whatever became of the first create.
          if (Result.isSuccess(result)) assert.strictEqual(result.success.generation, row.generation, `call ${at}`)
          assert.strictEqual(row.status, "running", `call ${at}`)
          assert.isTrue(place.world.secrets.has(signingKeyPath(id)), `call ${at}`)
          assert.isTrue(place.stored().every((token) => place.github.living.has(token)), `call ${at}`)
          yield* place.destroy
          assert.deepStrictEqual(place.ofSandboxes(), new Place(profile).ofSandboxes(), `call ${at}`)
        }
      }))
  })
}
