/** What every store of sandboxes must do: guard ids and aliases, change single attributes, tell watchers. */
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Option, Schema, Stream } from "effect"
import { Profile } from "../../../runtime/domain/profile/Profile.ts"
import { Alias, ChannelId, InstallName, SandboxId } from "../../../runtime/domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../../runtime/domain/sandbox/Sandbox.ts"
import { Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { type Engine, timeOf } from "./Engine.ts"

const profile = Schema.decodeSync(Profile)({
  apiVersion: "klankermaker.ai/v1",
  kind: "SandboxProfile",
  metadata: { name: "demo" }
})
const one = SandboxId.make("sb-00000001")
const two = SandboxId.make("sb-00000002")
const alias = Alias.make("demo")
const channel = ChannelId.make("C123")

const storedSpec = (attributes: Readonly<Record<string, unknown>>) =>
  Schema.decodeUnknownSync(Schema.Struct({ spec: Schema.Record(Schema.String, Schema.Unknown) }))(
    attributes["profile"]
  ).spec as { readonly network?: { readonly mode?: unknown } }

export const sandboxRow = (id: SandboxId, rest: Partial<SandboxRow> = {}): SandboxRow => ({
  id,
  install: InstallName.make("km"),
  profile,
  desired: "running",
  status: "creating",
  unconfined: false,
  createdAt: 1,
  generation: "1",
  inventory: [{ kind: "queue", ref: id, state: "planned" }],
  ...rest
})

/** `attributes` reads what is really stored, with what no version of the schema knows. */
export const sandboxesContract = <LE, R>(
  engine: Engine<Sandboxes | R, LE>,
  attributes: (id: SandboxId) => Effect.Effect<Readonly<Record<string, unknown>>, unknown, R>
): void => {
  const { settle, until } = timeOf(engine)
  const test = <E>(name: string, body: (sandboxes: Sandboxes["Service"]) => Effect.Effect<void, E, R>) =>
    it.effect(name, () => Effect.provide(Effect.flatMap(Sandboxes, body), engine.layer))

  test("gives back a row by id, alias and channel", (sandboxes) =>
    Effect.gen(function*() {
      const row = sandboxRow(one, { alias, channel })
      yield* sandboxes.insert(row)
      yield* sandboxes.insert(sandboxRow(two))
      assert.deepStrictEqual(yield* sandboxes.get(one), Option.some(row))
      assert.deepStrictEqual(yield* sandboxes.named(alias), Option.some(row))
      yield* settle
      assert.deepStrictEqual(yield* sandboxes.byChannel(channel), [row])
      assert.deepStrictEqual(yield* sandboxes.byChannel(ChannelId.make("C999")), [])
      assert.deepStrictEqual(yield* sandboxes.named(Alias.make("other")), Option.none())
      assert.deepStrictEqual((yield* sandboxes.list).map(({ id }) => id), [one, two])
    }))

  test("keeps the network that was resolved at create, whatever the default is then", (sandboxes) =>
    Effect.gen(function*() {
      yield* sandboxes.insert(sandboxRow(one))
      const spec = { ...profile.spec, network: { ...profile.spec.network, mode: "shared" as const } }
      yield* sandboxes.insert(sandboxRow(two, { profile: { ...profile, spec } }))
      for (const [id, mode] of [[one, "none"], [two, "shared"]] as const) {
        assert.deepInclude(storedSpec(yield* Effect.orDie(attributes(id))).network, { mode })
        const row = Option.getOrThrow(yield* sandboxes.get(id))
        assert.strictEqual(row.profile.spec.network.mode, mode)
      }
    }))

  test("a name is an id before it is an alias", (sandboxes) =>
    Effect.gen(function*() {
      yield* sandboxes.insert(sandboxRow(one, { alias: Alias.make(two) }))
      assert.strictEqual(Option.getOrThrow(yield* sandboxes.named(two)).id, one)
      yield* sandboxes.insert(sandboxRow(two))
      assert.strictEqual(Option.getOrThrow(yield* sandboxes.named(two)).id, two)
      assert.strictEqual(Option.getOrThrow(yield* sandboxes.named(one)).id, one)
    }))

  test("an id and an alias are taken together or not at all", (sandboxes) =>
    Effect.gen(function*() {
      yield* sandboxes.insert(sandboxRow(one, { alias }))
      const id = yield* Effect.flip(sandboxes.insert(sandboxRow(one, { alias: Alias.make("free") })))
      assert.strictEqual(id._tag === "SandboxConflict" && id.what, "id")
      const taken = yield* Effect.flip(sandboxes.insert(sandboxRow(two, { alias })))
      assert.strictEqual(taken._tag === "SandboxConflict" && taken.what, "alias")
      assert.deepStrictEqual(yield* sandboxes.get(two), Option.none())
      assert.deepStrictEqual(yield* sandboxes.named(Alias.make("free")), Option.none())
      yield* sandboxes.remove(one)
      yield* sandboxes.remove(one)
      yield* sandboxes.insert(sandboxRow(two, { alias }))
      assert.strictEqual(Option.getOrThrow(yield* sandboxes.named(alias)).id, two)
    }))

  test("of many that want an alias at once, one gets it", (sandboxes) =>
    Effect.gen(function*() {
      const ids = Array.from({ length: 8 }, (_, n) => SandboxId.make(`sb-0000000${n}`))
      const results = yield* Effect.forEach(ids, (id) => Effect.result(sandboxes.insert(sandboxRow(id, { alias }))), {
        concurrency: "unbounded"
      })
      assert.strictEqual(results.filter(({ _tag }) => _tag === "Success").length, 1)
      assert.strictEqual((yield* sandboxes.list).length, 1)
    }))

  test("an update changes the named attributes only, and two writers keep both", (sandboxes) =>
    Effect.gen(function*() {
      yield* sandboxes.insert(sandboxRow(one, { alias, channelName: "old" }))
      yield* Effect.all([
        sandboxes.update(one, { channel, channelMode: "shared" }),
        sandboxes.update(one, { desired: "stopped", expiresAt: 7 })
      ], { concurrency: "unbounded" })
      const expected = sandboxRow(one, {
        alias,
        channelName: "old",
        channel,
        channelMode: "shared",
        desired: "stopped",
        expiresAt: 7
      })
      assert.deepStrictEqual(yield* sandboxes.get(one), Option.some(expected))
      assert.deepStrictEqual(yield* sandboxes.byChannel(channel), [expected])
      yield* sandboxes.update(two, { expiresAt: 9 })
      assert.deepStrictEqual(yield* sandboxes.get(two), Option.none())
    }))

  test("changes a row only while it is as expected, and says whether it did", (sandboxes) =>
    Effect.gen(function*() {
      yield* sandboxes.insert(sandboxRow(one))
      assert.isTrue(yield* sandboxes.update(one, { expiresAt: 1 }, { generation: "1", ending: false }))
      assert.isFalse(yield* sandboxes.update(one, { expiresAt: 2 }, { generation: "2" }))
      assert.isFalse(yield* sandboxes.update(two, { expiresAt: 2 }))
      assert.isFalse(yield* sandboxes.update(one, { expiresAt: 2 }, { expiresAt: 3 }))
      assert.isTrue(yield* sandboxes.update(one, { expiresAt: 2 }, { expiresAt: 1 }))
      assert.isTrue(yield* sandboxes.update(one, { status: "destroying" }, { ending: false }))
      assert.isFalse(yield* sandboxes.update(one, { expiresAt: 3 }, { ending: false }))
      assert.isFalse(yield* sandboxes.addItem(one, { kind: "secret", ref: "a", state: "planned" }, { ending: false }))
      assert.isTrue(yield* sandboxes.update(one, { expiresAt: 4 }, { generation: "1" }))
      const row = Option.getOrThrow(yield* sandboxes.get(one))
      assert.deepStrictEqual([row.expiresAt, row.inventory.length], [4, 1])
    }))

  test("items come and go singly, also when many are changed at once", (sandboxes) =>
    Effect.gen(function*() {
      const items = Array.from({ length: 12 }, (_, n) => ({ kind: "secret", ref: `s${n}`, state: "planned" } as const))
      yield* sandboxes.insert(sandboxRow(one, { inventory: [] }))
      yield* Effect.forEach(items, (item) => sandboxes.addItem(one, item), { concurrency: "unbounded" })
      yield* Effect.all([
        ...items.slice(0, 4).map((item) => sandboxes.removeItem(one, item)),
        ...items.slice(4, 8).map((item) => sandboxes.addItem(one, { ...item, state: "made" }, {}, { channel }))
      ], { concurrency: "unbounded" })
      yield* sandboxes.removeItem(one, { kind: "queue", ref: "s9" })
      const { channel: found, inventory } = Option.getOrThrow(yield* sandboxes.get(one))
      assert.deepStrictEqual(
        inventory.map(({ ref, state }) => `${ref} ${state}`).toSorted(),
        ["s10 planned", "s11 planned", "s4 made", "s5 made", "s6 made", "s7 made", "s8 planned", "s9 planned"]
      )
      assert.strictEqual(found, channel)
      // An update leaves them alone, whatever it is given.
      const whole: object = { inventory: [] }
      yield* sandboxes.update(one, whole)
      assert.strictEqual(Option.getOrThrow(yield* sandboxes.get(one)).inventory.length, 8)
    }))

  test("gives the young rows without reading the others", (sandboxes) =>
    Effect.gen(function*() {
      yield* sandboxes.insert(sandboxRow(one, { createdAt: 99 }))
      yield* sandboxes.insert(sandboxRow(two, { createdAt: 100 }))
      assert.deepStrictEqual((yield* sandboxes.youngerThan(100)).map(({ id }) => id), [two])
      assert.deepStrictEqual((yield* sandboxes.youngerThan(0)).map(({ id }) => id), [one, two])
      assert.deepStrictEqual(yield* sandboxes.youngerThan(101), [])
    }))

  test("watches one row: as it is, then whenever it changes, and its end", (sandboxes) =>
    Effect.gen(function*() {
      const heard: Array<string> = []
      const watching = yield* sandboxes.watch(one).pipe(
        Stream.runForEach((row) =>
          Effect.sync(() => heard.push(Option.match(row, { onNone: () => "none", onSome: ({ status }) => status })))
        ),
        Effect.forkChild({ startImmediately: true })
      )
      const lastIs = (status: string) => until(() => heard.at(-1) === status)
      yield* lastIs("none")
      yield* sandboxes.insert(sandboxRow(one))
      yield* lastIs("creating")
      yield* sandboxes.update(one, { status: "running" })
      yield* lastIs("running")
      yield* sandboxes.remove(one)
      yield* lastIs("none")
      yield* Fiber.interrupt(watching)
    }))

  test("keeps attributes of another version, never changes id or alias, removes what is undefined", (sandboxes) =>
    Effect.gen(function*() {
      const foreign = { ...sandboxRow(one, { alias, channelName: "old" }), fromTheFuture: { n: 1 } }
      yield* sandboxes.insert(foreign)
      const changes = { status: "running", alias: Alias.make("other"), id: two } as const
      yield* sandboxes.update(one, changes)
      const gone: object = { channelName: undefined }
      yield* sandboxes.update(one, gone)
      const stored = yield* Effect.orDie(attributes(one))
      assert.deepStrictEqual(stored["fromTheFuture"], { n: 1 })
      assert.strictEqual(stored["status"], "running")
      assert.isFalse(Object.hasOwn(stored, "channelName"))
      assert.strictEqual(Option.getOrThrow(yield* sandboxes.named(alias)).id, one)
      assert.deepStrictEqual(yield* sandboxes.named(Alias.make("other")), Option.none())
    }))

  test("tells watchers of every row at first, then of inserts, updates and removals", (sandboxes) =>
    Effect.gen(function*() {
      yield* sandboxes.insert(sandboxRow(one))
      const heard: Array<string> = []
      const watching = yield* sandboxes.changes.pipe(
        Stream.runForEach((id) => Effect.sync(() => heard.push(id))),
        Effect.forkChild({ startImmediately: true })
      )
      const told = (count: number) => until(() => heard.filter((id) => id === two).length >= count)
      yield* until(() => heard.length > 0)
      assert.deepStrictEqual(heard, [one])
      yield* sandboxes.insert(sandboxRow(two))
      yield* told(1)
      yield* sandboxes.update(two, { expiresAt: 9 })
      yield* told(2)
      yield* sandboxes.remove(two)
      yield* told(3)
      yield* Fiber.interrupt(watching)
    }))

  test("an alias remembers its channel after its sandbox is gone", (sandboxes) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* sandboxes.channelOfAlias(alias), Option.none())
      yield* sandboxes.insert(sandboxRow(one, { alias, channel }))
      yield* sandboxes.rememberChannel(alias, channel)
      yield* sandboxes.rememberChannel(alias, ChannelId.make("C999"))
      yield* sandboxes.remove(one)
      assert.deepStrictEqual(yield* sandboxes.channelOfAlias(alias), Option.some(ChannelId.make("C999")))
    }))
}
