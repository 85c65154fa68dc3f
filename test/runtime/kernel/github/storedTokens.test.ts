/** What a proxy is given: from the rows and secrets that the refresher writes, over a bridge that only takes wishes. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/testing/TestClock"
import { type RepositoryGrant, storedTokenText } from "../../../../runtime/domain/github/Grant.ts"
import { InstallName, SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../../../runtime/domain/sandbox/Sandbox.ts"
import { tokenPath } from "../../../../runtime/kernel/github/SandboxTokens.ts"
import * as StoredTokens from "../../../../runtime/kernel/github/StoredTokens.ts"
import { Bridge, BridgeRefused } from "../../../../runtime/ports/Bridge.ts"
import * as MemoryReports from "../../../../runtime/ports/memory/MemoryReports.ts"
import * as MemorySandboxes from "../../../../runtime/ports/memory/MemorySandboxes.ts"
import * as MemorySecrets from "../../../../runtime/ports/memory/MemorySecrets.ts"
import { RepositoryTokens } from "../../../../runtime/ports/RepositoryTokens.ts"
import { Sandboxes } from "../../../../runtime/ports/Sandboxes.ts"
import { SandboxInfo } from "../../../../runtime/ports/SandboxInfo.ts"
import { Secrets } from "../../../../runtime/ports/Secrets.ts"
import { profileWith } from "../../../support/profiles.ts"

const id = SandboxId.make("sb-11111111")
const minute = 60_000

const grant: RepositoryGrant = {
  host: "github.com",
  app: 1,
  installation: 2,
  account: "org",
  all: false,
  repositories: [{ id: 7, name: "api" }, { id: 8, name: "web" }],
  writes: true
}

class Scene {
  readonly sandboxes = MemorySandboxes.makeMemorySandboxesState()
  readonly secrets = MemorySecrets.makeMemorySecretsState()
  readonly reports = MemoryReports.makeMemoryReportsState()
  /** Keys of the wishes that came. */
  readonly wishes: Array<string> = []
  /** What the refresher does about a wish. */
  onWish: Effect.Effect<void, BridgeRefused, Sandboxes | Secrets> = Effect.void

  /** The refresher's pen. */
  write(text: string, access: "read" | "write" = "read") {
    return Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      yield* (yield* Secrets).put(
        tokenPath(id, grant, access),
        storedTokenText({
          token: Redacted.make(text),
          mintedAt: now,
          expiresAt: now + 60 * minute,
          permissions: { contents: access }
        })
      )
    })
  }
  grants(change: Partial<RepositoryGrant>) {
    return Effect.flatMap(Sandboxes, (sandboxes) => sandboxes.update(id, { github: [{ ...grant, ...change }] }))
  }
  layer() {
    const ports = Layer.mergeAll(
      MemorySandboxes.layerOver(this.sandboxes),
      MemorySecrets.layerOver(this.secrets),
      MemoryReports.layerOver(this.reports),
      Layer.succeed(SandboxInfo, {
        id,
        install: InstallName.make("km"),
        profile: profileWith(),
        channel: undefined,
        label: id,
        directories: { state: "/", home: "/", workspace: "/", runs: "/" }
      })
    )
    const bridge = Layer.effect(
      Bridge,
      Effect.map(Effect.context<Sandboxes | Secrets>(), (context) =>
        Bridge.of({
          call: ({ key }) =>
            Effect.suspend(() => {
              this.wishes.push(key)
              return Effect.as(Effect.provideContext(this.onWish, context), { ok: true as const })
            })
        }))
    )
    return StoredTokens.layer.pipe(Layer.provide(bridge), Layer.provideMerge(ports))
  }
}

const row: SandboxRow = {
  id,
  install: InstallName.make("km"),
  profile: profileWith(),
  desired: "running",
  status: "running",
  unconfined: true,
  createdAt: 0,
  generation: "1",
  inventory: [],
  github: [grant]
}

const played = <E>(
  play: (scene: Scene, tokens: RepositoryTokens["Service"]) => Effect.Effect<void, E, Sandboxes | Secrets>
) =>
  Effect.gen(function*() {
    const scene = new Scene()
    scene.sandboxes.rows.set(id, row)
    yield* TestClock.setTime(1_000_000_000_000)
    yield* Effect.flatMap(RepositoryTokens, (tokens) => play(scene, tokens)).pipe(Effect.provide(scene.layer()))
  })

const api = { host: "github.com", owner: "Org", name: "API" }
const reasonOf = <A>(effect: Effect.Effect<A, { readonly reason: string }>) =>
  Effect.match(effect, { onSuccess: () => "given", onFailure: ({ reason }) => reason })
/** Lets what waits for the clock go on, until it is over. */
const later = <A, E>(fiber: Fiber.Fiber<A, E>) =>
  Effect.andThen(Effect.forEach(Array.from({ length: 50 }), () => TestClock.adjust("500 millis")), Fiber.join(fiber))

describe("a proxy's tokens", () => {
  it.effect("are those of the sandbox's own repositories, by name or number", () =>
    played((scene, tokens) =>
      Effect.gen(function*() {
        yield* scene.write("ghs_r")
        yield* scene.write("ghs_w", "write")
        const read = yield* tokens.token(api, "read")
        assert.deepStrictEqual([Redacted.value(read.token), read.repository.id, read.repository.owner], [
          "ghs_r",
          7,
          "org"
        ])
        const write = yield* tokens.token({ host: "github.com", id: 8 }, "write")
        assert.deepStrictEqual([Redacted.value(write.token), write.repository.name], ["ghs_w", "web"])
        assert.deepStrictEqual((yield* tokens.repositories).map(({ name }) => name), ["api", "web"])
        for (
          const query of [{ ...api, name: "other" }, { ...api, host: "ghe.example.com" }, { host: "github.com", id: 9 }]
        ) {
          assert.strictEqual(yield* reasonOf(tokens.token(query, "read")), "NotAllowed")
        }
      })
    ))

  it.effect("say in a word what keeps them away", () =>
    played((scene, tokens) =>
      Effect.gen(function*() {
        const since = yield* Clock.currentTimeMillis
        assert.strictEqual(yield* reasonOf(tokens.token(api, "read")), "Unavailable")
        yield* scene.write("ghs_r")
        assert.strictEqual(yield* reasonOf(tokens.token(api, "write")), "Unavailable")
        const troubles: ReadonlyArray<readonly [Partial<RepositoryGrant>, string, string]> = [
          [{ writes: false }, "given", "ReadOnly"],
          [{ missing: [7] }, "NotInstalled", "NotInstalled"],
          [{ trouble: { reason: "Suspended", detail: "held back", since } }, "Suspended", "Suspended"],
          [{ trouble: { reason: "NotInstalled", detail: "gone", since } }, "NotInstalled", "NotInstalled"],
          // A token that is still good is given while GitHub is away.
          [{ trouble: { reason: "Unavailable", detail: "away", since } }, "given", "Unavailable"],
          [{ trouble: { reason: "NotPermitted", detail: "lacks contents", since } }, "given", "NotPermitted"]
        ]
        for (const [change, reading, writing] of troubles) {
          yield* scene.grants(change)
          yield* Effect.yieldNow
          yield* TestClock.adjust(1)
          assert.strictEqual(yield* reasonOf(tokens.token(api, "read")), reading, JSON.stringify(change))
          assert.strictEqual(yield* reasonOf(tokens.token(api, "write")), writing, JSON.stringify(change))
        }
      })
    ))

  it.effect("are never given with less than a minute to live, and the renewed one is found by itself", () =>
    played((scene, tokens) =>
      Effect.gen(function*() {
        yield* scene.write("ghs_one")
        yield* tokens.token(api, "read")
        yield* TestClock.adjust("40 minutes")
        yield* scene.write("ghs_two")
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(Redacted.value((yield* tokens.token(api, "read")).token), "ghs_two")
        yield* TestClock.adjust("57 minutes")
        assert.strictEqual(yield* reasonOf(tokens.token(api, "read")), "given")
        yield* TestClock.adjust("90 seconds")
        assert.strictEqual(yield* reasonOf(tokens.token(api, "read")), "Unavailable")
      })
    ))

  it.effect("are asked for anew when GitHub refuses one, once for all who come with it", () =>
    played((scene, tokens) =>
      Effect.gen(function*() {
        yield* scene.write("ghs_one")
        const stale = yield* tokens.token(api, "read")
        scene.onWish = Effect.orDie(scene.write("ghs_two"))
        const fibers = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(tokens.refreshed(stale)))
        const found = yield* Effect.forEach(fibers, later)
        assert.deepStrictEqual(found.map(({ token }) => Redacted.value(token)), ["ghs_two", "ghs_two", "ghs_two"])
        assert.strictEqual(scene.wishes.length, 1)
      })
    ))

  it.effect("are unavailable with a sentence when nobody makes another, or the installation went", () =>
    played((scene, tokens) =>
      Effect.gen(function*() {
        yield* scene.write("ghs_one")
        const stale = yield* tokens.token(api, "read")
        const refreshed = reasonOf(tokens.refreshed(stale))
        assert.strictEqual(yield* later(yield* Effect.forkChild(refreshed)), "Unavailable")
        scene.onWish = Effect.orDie(Effect.flatMap(Clock.currentTimeMillis, (since) =>
          scene.grants({ trouble: { reason: "NotInstalled", detail: "gone", since } })))
        assert.strictEqual(yield* later(yield* Effect.forkChild(refreshed)), "NotInstalled")
        scene.onWish = Effect.fail(
          new BridgeRefused({ action: "repository.refresh", code: "rate_limited", detail: "" })
        )
        // What is known to be wrong is told, and not that it was asked for a moment ago.
        const limited = yield* Effect.flip(tokens.refreshed(stale))
        assert.deepStrictEqual([limited.reason, limited.detail], ["NotInstalled", "gone"])
        scene.onWish = Effect.fail(new BridgeRefused({ action: "repository.refresh", code: "unavailable", detail: "" }))
        assert.strictEqual(yield* refreshed, "Unavailable")
      })
    ))

  it.effect("are unavailable for what was wrong before, where the refresher finds it so again", () =>
    played((scene, tokens) =>
      Effect.gen(function*() {
        yield* scene.write("ghs_one")
        const stale = yield* tokens.token(api, "read")
        yield* scene.grants({
          trouble: { reason: "Unavailable", detail: "GitHub does not take the App's key", since: 0 }
        })
        yield* TestClock.adjust("1 minute")
        const asking = yield* Effect.forkChild(Effect.flip(tokens.refreshed(stale)))
        const refused = yield* later(asking)
        assert.deepStrictEqual([refused.reason, refused.detail], [
          "Unavailable",
          "GitHub does not take the App's key"
        ])
        assert.strictEqual(scene.wishes.length, 1)
      })
    ))

  it.effect("are listed by host, owner and name, whatever the order of the grants", () =>
    played((scene, tokens) =>
      Effect.gen(function*() {
        const other = { ...grant, host: "git.example.com", account: "zeta", repositories: [{ id: 9, name: "b" }] }
        const mine = { ...grant, installation: 3, account: "alpha", repositories: [{ id: 5, name: "z" }] }
        yield* Effect.flatMap(Sandboxes, (sandboxes) => sandboxes.update(id, { github: [grant, other, mine] }))
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(
          (yield* tokens.repositories).map(({ host, name, owner }) => `${host}/${owner}/${name}`),
          [
            "github.com/alpha/z",
            "git.example.com/zeta/b",
            "github.com/org/api",
            "github.com/org/web"
          ]
        )
        assert.strictEqual(scene.wishes.length, 0)
      })
    ))

  it.effect("that the bridge does not ask for are unavailable, and for how long where it was asked too often", () =>
    played((scene, tokens) =>
      Effect.gen(function*() {
        yield* scene.write("ghs_a")
        const stale = yield* tokens.token(api, "read")
        for (const code of ["rate_limited", "unavailable"] as const) {
          scene.onWish = Effect.fail(new BridgeRefused({ action: "repository.refresh", code, detail: "" }))
          const refused = yield* Effect.flip(tokens.refreshed(stale))
          assert.strictEqual(refused.reason, "Unavailable")
          assert.strictEqual(
            refused.detail,
            code === "rate_limited"
              ? "GitHub refused the token, and a new one was asked for less than a minute ago"
              : "GitHub refused the token, and a new one cannot be asked for: unavailable"
          )
          assert.strictEqual(refused.retryAfterMillis, code === "rate_limited" ? 60_000 : undefined)
        }
      })
    ))

  it.effect("are told of when they were last used, within a minute", () =>
    played((scene, tokens) =>
      Effect.gen(function*() {
        yield* scene.write("ghs_one")
        yield* tokens.token(api, "read")
        yield* TestClock.adjust("1 minute")
        const at = scene.reports.reports.get(id)?.repositoriesUsed?.map(({ id: repository }) => repository)
        assert.deepStrictEqual(at, [7])
      })
    ))
})
