/** When tokens are made anew, to the second: at their time, after failures, when asked for, and never for what ends. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Random } from "effect"
import { TestClock } from "effect/testing"
import { InstallName, SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../../../runtime/domain/sandbox/Sandbox.ts"
import { alarmMillis, dueAt, TokenRefresher, troubleOf } from "../../../../runtime/kernel/github/TokenRefresher.ts"
import { GithubApps, GithubFailed } from "../../../../runtime/ports/GithubApps.ts"
import { Secrets } from "../../../../runtime/ports/Secrets.ts"
import { StoreError } from "../../../../runtime/ports/StoreError.ts"
import { World } from "../../../support/ControlWorld.ts"
import { MemoryGithub } from "../../../support/MemoryGithub.ts"
import { profileWith } from "../../../support/profiles.ts"
import { saidInLog } from "../../../support/saidInLog.ts"

const id = SandboxId.make("sb-1a2b3c4d")
const minute = 60_000

/** A sandbox with one grant; GitHub fails so while `fails` says it. */
class Scene {
  readonly world = new World()
  readonly github = new MemoryGithub()
  readonly said: Array<string> = []
  fails: GithubFailed | undefined

  constructor() {
    const { service } = this.github
    this.world.github = GithubApps.of({
      ...service,
      installation: (ref, installation) =>
        Effect.suspend(() => {
          this.asked += 1
          return this.fails === undefined ? service.installation(ref, installation) : Effect.fail(this.fails)
        }),
      mint: (...request) =>
        Effect.tap(service.mint(...request), () =>
          Effect.sync(() => {
            if (this.meanwhile === "gone") this.world.rows.delete(id)
            else if (this.meanwhile !== undefined) this.change(this.meanwhile)
          }))
    })
    this.world.rows.set(id, {
      id,
      install: InstallName.make("km"),
      profile: profileWith(),
      desired: "running",
      status: "running",
      unconfined: false,
      createdAt: 0,
      generation: "g1",
      inventory: [],
      github: [{
        host: "github.com",
        app: 7,
        installation: 4711,
        account: "org",
        all: false,
        repositories: [{ id: 100, name: "api" }],
        writes: false
      }]
    })
  }

  /** Attempts at a renewal. */
  asked = 0
  /** What becomes of the row while GitHub makes a token. */
  meanwhile: Partial<SandboxRow> | "gone" | undefined
  storeFails = false

  change(changes: Partial<SandboxRow>) {
    const row = this.world.rows.get(id)
    if (row !== undefined) this.world.rows.set(id, { ...row, ...changes })
  }
  get grant() {
    return this.world.rows.get(id)?.github?.[0]
  }
  failing(reason: GithubFailed["reason"], detail: string, retryAfterMillis?: number) {
    this.fails = new GithubFailed({
      host: "github.com",
      reason,
      detail,
      ...(retryAfterMillis === undefined ? {} : { retryAfterMillis })
    })
  }
}

/** Takes no secret while the scene says so. */
const fullStore = (scene: Scene) =>
  Layer.effect(
    Secrets,
    Effect.map(Secrets, (inner) =>
      Secrets.of({
        ...inner,
        put: (path, value) =>
          Effect.suspend(() =>
            scene.storeFails
              ? Effect.fail(
                new StoreError({ port: "Secrets", operation: "put", reason: "Full", detail: "x", cause: undefined })
              )
              : inner.put(path, value)
          )
      }))
  ).pipe(Layer.provide(scene.world.layer()))

const played = <A, E>(play: (scene: Scene, refresher: TokenRefresher["Service"]) => Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const scene = new Scene()
    yield* Effect.flatMap(TokenRefresher, (refresher) => play(scene, refresher)).pipe(
      Effect.provide(Layer.merge(
        TokenRefresher.layer.pipe(Layer.provide(Layer.merge(scene.world.layer(), fullStore(scene)))),
        saidInLog(scene.said)
      ))
    )
  }).pipe(Random.withSeed("the same"))

describe("the time of a token", () => {
  it("is between half and seven tenths of its life", () => {
    const token = { mintedAt: 1_000, expiresAt: 3_601_000 }
    assert.strictEqual(dueAt(token, 0), 1_000 + 30 * minute)
    assert.strictEqual(dueAt(token, 0.5), 1_000 + 36 * minute)
    assert.strictEqual(dueAt(token, 1), 1_000 + 42 * minute)
    assert.strictEqual(alarmMillis, 50 * minute)
  })
})

describe("what is wrong with a token", () => {
  it("is what its sandbox can do something about, or that there is none now", () => {
    const reasons = {
      Missing: "NotInstalled",
      Suspended: "Suspended",
      NotGranted: "NotPermitted",
      NoKey: "Unavailable",
      BadKey: "Unavailable",
      RateLimited: "Unavailable",
      Unreachable: "Unavailable",
      Refused: "Unavailable"
    } as const
    for (const reason of Object.keys(reasons) as ReadonlyArray<keyof typeof reasons>) {
      assert.deepStrictEqual(troubleOf(new GithubFailed({ host: "h", reason, detail: "so" }), 5), {
        reason: reasons[reason],
        detail: "so",
        since: 5
      })
    }
    const store = new StoreError({ port: "Secrets", operation: "put", reason: "Full", detail: "x", cause: undefined })
    assert.deepStrictEqual(troubleOf(store, 5), {
      reason: "Unavailable",
      detail: "the tokens' store does not answer",
      since: 5
    })
  })
})

describe("TokenRefresher", () => {
  it.effect("makes the first token at once and the next one in its time, once", () =>
    played((scene, refresher) =>
      Effect.gen(function*() {
        yield* refresher.round
        assert.strictEqual(scene.github.minted, 0, "nobody looked yet")
        yield* refresher.look(id)
        yield* refresher.round
        assert.strictEqual(scene.github.minted, 1)
        yield* refresher.look(id)
        yield* TestClock.adjust("30 minutes")
        yield* refresher.round
        assert.strictEqual(scene.github.minted, 1, "not before half of its life")
        yield* TestClock.adjust("12 minutes")
        yield* refresher.round
        yield* refresher.round
        assert.strictEqual(scene.github.minted, 2)
        yield* TestClock.adjust("29 minutes")
        yield* refresher.round
        assert.strictEqual(scene.github.minted, 2)
      })
    ))

  it.effect("another process goes on with what is stored", () =>
    played((scene, refresher) =>
      Effect.gen(function*() {
        yield* refresher.look(id)
        yield* refresher.round
        const second = Layer.fresh(TokenRefresher.layer).pipe(Layer.provide(scene.world.layer()))
        yield* Effect.gen(function*() {
          const other = yield* TokenRefresher
          yield* other.look(id)
          yield* other.round
          assert.strictEqual(scene.github.minted, 1)
          yield* TestClock.adjust("42 minutes")
          yield* other.round
          assert.strictEqual(scene.github.minted, 2)
        }).pipe(Effect.provide(second))
      })
    ))

  it.effect("leaves alone what is being made, what ends, what has no grant and what is gone", () =>
    played((scene, refresher) =>
      Effect.gen(function*() {
        for (
          const changes of [
            { status: "creating" },
            { status: "destroying" },
            { desired: "destroyed" },
            { github: [] }
          ] as const
        ) {
          const before = scene.world.rows.get(id)
          scene.change(changes)
          yield* refresher.look(id)
          yield* refresher.round
          assert.strictEqual(scene.asked, 0, JSON.stringify(changes))
          if (before !== undefined) scene.world.rows.set(id, before)
        }
        // Known as due, and changed before its turn came.
        for (const changes of [{ status: "stopped" }, { status: "destroying" }, { github: [] }] as const) {
          const before = scene.world.rows.get(id)
          yield* refresher.look(id)
          scene.change(changes)
          yield* refresher.round
          assert.strictEqual(scene.asked, 0, JSON.stringify(changes))
          if (before !== undefined) scene.world.rows.set(id, before)
        }
        yield* refresher.look(id)
        scene.world.rows.delete(id)
        yield* refresher.round
        yield* refresher.look(id)
        assert.strictEqual(scene.asked, 0)
      })
    ))

  it.effect("tries again after 15 s, 30 s … at most 5 minutes, give or take a fifth, and says since when it fails so", () =>
    played((scene, refresher) =>
      Effect.gen(function*() {
        scene.failing("Unreachable", "no answer")
        yield* refresher.look(id)
        yield* refresher.round
        assert.deepStrictEqual(scene.grant?.trouble, { reason: "Unavailable", detail: "no answer", since: 0 })
        for (const wait of [15, 30, 60, 120, 240, 300, 300]) {
          const before = scene.asked
          yield* TestClock.adjust(wait * 800 - 1)
          yield* refresher.round
          assert.strictEqual(scene.asked, before, `${wait} s less a fifth are not over`)
          yield* TestClock.adjust(wait * 400 + 1)
          yield* refresher.round
          assert.strictEqual(scene.asked, before + 1, `${wait} s and a fifth are over`)
        }
        assert.strictEqual(scene.grant?.trouble?.since, 0, "it is the same trouble still")
        scene.failing("Suspended", "no answer")
        yield* TestClock.adjust("6 minutes")
        yield* refresher.round
        const since = scene.grant?.trouble?.since ?? 0
        assert.deepInclude(scene.grant?.trouble, { reason: "Suspended" })
        assert.isAbove(since, 0)
        scene.failing("Suspended", "still none")
        yield* TestClock.adjust("6 minutes")
        yield* refresher.round
        assert.isAbove(scene.grant?.trouble?.since ?? 0, since, "the same in other words is another one")
        scene.fails = undefined
        yield* TestClock.adjust("6 minutes")
        yield* refresher.round
        assert.notProperty(scene.grant, "trouble")
        assert.strictEqual(scene.github.minted, 1)
        // What failed before counts no more.
        yield* TestClock.adjust("42 minutes")
        scene.failing("Unreachable", "no answer")
        yield* refresher.round
        const before = scene.asked
        yield* TestClock.adjust("18 seconds")
        yield* refresher.round
        assert.strictEqual(scene.asked, before + 1)
      })
    ))

  it.effect("an alarm is given once when a token is older than 50 minutes, and again after one that was made", () =>
    played((scene, refresher) =>
      Effect.gen(function*() {
        const alarms = () => scene.said.filter((line) => line.startsWith("Error: KM-GHA-026: ")).length
        scene.failing("Unreachable", "no answer")
        yield* refresher.look(id)
        yield* refresher.round
        yield* TestClock.adjust("2 hours")
        yield* refresher.round
        assert.strictEqual(alarms(), 0, "there was none that could grow old")
        scene.fails = undefined
        yield* TestClock.adjust("6 minutes")
        yield* refresher.round
        for (let round = 0; round < 2; round++) {
          const made = scene.github.minted
          scene.failing("Unreachable", "no answer")
          yield* TestClock.adjust("50 minutes")
          yield* refresher.round
          assert.strictEqual(alarms(), round, "exactly 50 minutes are no alarm")
          yield* TestClock.adjust("6 minutes")
          yield* refresher.round
          yield* TestClock.adjust("6 minutes")
          yield* refresher.round
          assert.strictEqual(alarms(), round + 1)
          assert.include(
            scene.said.findLast((line) => line.startsWith("Error: KM-GHA-026: ")) ?? "",
            `the token of ${id} for github.com/4711 is older than 50 minutes and was not renewed: github.com: no answer`
          )
          scene.fails = undefined
          yield* TestClock.adjust("6 minutes")
          yield* refresher.round
          assert.strictEqual(scene.github.minted, made + 1)
        }
      })
    ))

  it.effect("whoever asks ends the wait, but not GitHub's own", () =>
    played((scene, refresher) =>
      Effect.gen(function*() {
        scene.failing("RateLimited", "later", 10 * minute)
        yield* refresher.look(id)
        yield* refresher.round
        assert.strictEqual(scene.asked, 1)
        yield* TestClock.adjust("1 minute")
        scene.change({ tokensWantedAt: minute })
        yield* refresher.look(id)
        yield* refresher.round
        yield* TestClock.adjust(9 * minute - 1)
        yield* refresher.round
        assert.strictEqual(scene.asked, 1, "GitHub wants no other before ten minutes are over")
        scene.failing("Unreachable", "no answer")
        yield* TestClock.adjust(1)
        yield* refresher.round
        assert.strictEqual(scene.asked, 2)
        // Asked for before the last try: that one was the answer.
        yield* refresher.look(id)
        yield* refresher.round
        assert.strictEqual(scene.asked, 2)
        yield* TestClock.adjust("1 second")
        scene.change({ tokensWantedAt: 10 * minute + 1_000 })
        yield* refresher.look(id)
        yield* refresher.round
        assert.strictEqual(scene.asked, 3)
      })
    ))

  it.effect("a pause takes tokens back, also those that were being made for it", () =>
    played((scene, refresher) =>
      Effect.gen(function*() {
        yield* refresher.look(id)
        yield* refresher.round
        assert.strictEqual(scene.github.living.size, 1)
        scene.change({ status: "stopped" })
        yield* refresher.look(id)
        assert.strictEqual(scene.github.living.size, 0)
        assert.isFalse([...scene.world.secrets.keys()].some((path) => path.includes("/github/")))
        assert.include(scene.said.join("\n"), "tokens taken back for the pause")
        for (
          const changes of [
            { status: "stopped" },
            { status: "destroying" },
            { desired: "destroyed" },
            { generation: "g2" }
          ] as const
        ) {
          scene.change({ status: "running", desired: "running", generation: "g1" })
          yield* refresher.look(id)
          scene.meanwhile = changes
          yield* refresher.round
          scene.meanwhile = undefined
          assert.strictEqual(scene.github.living.size, 0, JSON.stringify(changes))
          assert.isFalse([...scene.world.secrets.keys()].some((path) => path.includes("/github/")))
        }
        assert.strictEqual(scene.github.minted, 5)
      })
    ))

  it.effect("a row that is gone by then takes its tokens along", () =>
    played((scene, refresher) =>
      Effect.gen(function*() {
        yield* refresher.look(id)
        scene.meanwhile = "gone"
        yield* refresher.round
        assert.deepStrictEqual([scene.github.minted, scene.github.living.size], [1, 0])
      })
    ))

  it.effect("the store's trouble is one of the tokens, and a row that cannot be read is looked at again", () =>
    played((scene, refresher) =>
      Effect.gen(function*() {
        yield* refresher.look(id)
        scene.storeFails = true
        yield* refresher.round
        assert.deepStrictEqual(scene.grant?.trouble, {
          reason: "Unavailable",
          detail: "the tokens' store does not answer",
          since: 0
        })
        assert.strictEqual(scene.github.living.size, 0, "what could not be kept is taken back")
        scene.storeFails = false
        yield* TestClock.adjust("18 seconds")
        yield* refresher.round
        assert.strictEqual(scene.github.living.size, 1)
        assert.notProperty(scene.grant, "trouble")
      })
    ))

  it.effect("four are made at one time on a host, and a host that hangs holds up its own alone", () =>
    Effect.gen(function*() {
      const scene = new Scene()
      const row = scene.world.rows.get(id)
      if (row === undefined) return
      const others = Array.from({ length: 6 }, (_, n) => SandboxId.make(`sb-0000000${n}`))
      for (const other of others) scene.world.rows.set(other, { ...row, id: other })
      const elsewhere = SandboxId.make("sb-0000000f")
      scene.world.rows.set(elsewhere, {
        ...row,
        id: elsewhere,
        github: (row.github ?? []).map((grant) => ({ ...grant, host: "git.example.com" }))
      })
      let under = 0
      const { service } = scene.github
      scene.world.github = GithubApps.of({
        ...service,
        installation: (ref, installation) =>
          ref.host === "git.example.com"
            ? service.installation(ref, installation)
            : Effect.andThen(Effect.sync(() => under++), Effect.never)
      })
      yield* Effect.gen(function*() {
        const refresher = yield* TokenRefresher
        for (const one of [...others, elsewhere]) yield* refresher.look(one)
        yield* Effect.forkChild(refresher.round)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(under, 4)
        assert.strictEqual(scene.github.living.size, 1)
      }).pipe(
        Effect.provide(Layer.merge(
          TokenRefresher.layer.pipe(Layer.provide(scene.world.layer())),
          saidInLog(scene.said)
        ))
      )
    }))
})
