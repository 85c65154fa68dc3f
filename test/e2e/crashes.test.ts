/**
 * Real `kill -9` of real processes at chosen points: each time exactly one visible outcome, nothing lost, nothing twice.
 * The same points and all others are in the simulation of the kernel; here they are true of processes and disks.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, type Scope } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { ledgerOf } from "../support/ledgerOf.ts"
import { profileWith, slackProfile } from "../support/profiles.ts"
import type { DyingPlace } from "../support/roots/dyingBridge.ts"
import { bashScript } from "../support/ScriptedModel.ts"
import {
  botTexts,
  filesOf,
  type Program,
  reactionsOf,
  type Stack,
  type StackSandbox,
  startStack
} from "../support/Stack.ts"
import { untilReal } from "../support/untilReal.ts"

const dyingBridge = fileURLToPath(new URL("../support/roots/dyingBridge.ts", import.meta.url))

/** No live message: the answer is one post at the end. */
const quietProfile = profileWith({
  notifySlackEnabled: true,
  notifySlackPerSandbox: true,
  notifySlackInboundEnabled: true
})

const markerOf = (state: string): string => path.join(state, "..", "died")

/** A bridge that dies at `place` once it is armed, and comes back like any supervisor would bring it back. */
const stackWithDyingBridge = Effect.fnUntraced(function*(place: DyingPlace) {
  const stack = yield* startStack({
    bridgeRoot: dyingBridge,
    env: (state) => ({ KM_TEST_DIE: place, KM_TEST_DIED: markerOf(state) })
  })
  const marker = markerOf(stack.state)
  return {
    stack,
    marker,
    arm: Effect.sync(() => fs.writeFileSync(`${marker}.armed`, "")),
    revived: Effect.andThen(stack.bridge.ended, stack.startBridge)
  }
})

/** What every one of these ends with. */
const oneOutcome = Effect.fnUntraced(function*(stack: Stack, sandbox: StackSandbox, ts: string, contains: string) {
  const done = yield* sandbox.untilReaction(ts, "white_check_mark")
  const answers = botTexts(done, stack.workspace.botUserId).filter((text) => text.includes(contains))
  assert.lengthOf(answers, 1, JSON.stringify(done, null, 1))
  assert.strictEqual(reactionsOf(done).filter((name) => name === "white_check_mark").length, 1)
  yield* untilReal(
    "the turn is settled",
    Effect.map(
      ledgerOf(stack.state, sandbox.row.id),
      (rows) => rows.length === 1 && rows.every((row) => row.state === "settled" && row.attempt <= 2)
    )
  )
})

const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return !fs.readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ")
  } catch {
    return false
  }
}

/** A file of the sandbox's workspace, by its name: the agent's commands see it there, and so do we. */
const inWorkspace = (stack: Stack, sandbox: StackSandbox, name: string): string =>
  path.join(stack.state, "sandboxes", sandbox.row.id, "workspace", name)

/** Says that it runs, waits for `gate`, then answers. */
const gated = (answer: string): string =>
  bashScript(`touch begun; while [ ! -e gate ]; do sleep 0.1; done; echo ${answer}`)

/** The agent's process, once its command has begun: by then it has acted. */
const begunPid = (stack: Stack, sandbox: StackSandbox, attempt = 1) =>
  untilReal(
    "the agent's command has begun",
    Effect.map(ledgerOf(stack.state, sandbox.row.id), (rows) => {
      const row = rows.find((found) => found.state === "running" && found.attempt === attempt)
      return fs.existsSync(inWorkspace(stack, sandbox, "begun")) ? row?.process?.pid : undefined
    })
  )

const restart = (runtime: Program, stack: Stack): Effect.Effect<Program, never, Scope.Scope> =>
  Effect.andThen(runtime.kill9, stack.startRuntime)

describe("kill -9 of the bridge", () => {
  for (const place of ["before-enqueue", "after-enqueue"] as const) {
    it.live(`${place}: one turn, one answer`, () =>
      Effect.gen(function*() {
        const { arm, marker, revived, stack } = yield* stackWithDyingBridge(place)
        const sandbox = yield* stack.sandbox(quietProfile)
        yield* arm
        const ts = yield* sandbox.say(bashScript("echo survived-$((40+2))"))
        yield* revived
        assert.strictEqual(fs.readFileSync(marker, "utf8"), place)
        yield* oneOutcome(stack, sandbox, ts, "survived-42")
      }))
  }

  it.live(
    "after Slack's OK and before its record: the message is found, not posted again",
    () =>
      Effect.gen(function*() {
        const { arm, marker, revived, stack } = yield* stackWithDyingBridge("after-slack-ok")
        const sandbox = yield* stack.sandbox(quietProfile)
        yield* arm
        const ts = yield* sandbox.say(bashScript("echo survived-$((40+2))"))
        yield* revived
        assert.strictEqual(fs.readFileSync(marker, "utf8"), "after-slack-ok")
        // The id is held for its lease of 30 s; then the bridge looks before it acts.
        yield* oneOutcome(stack, sandbox, ts, "survived-42")
      })
  )

  it.live(
    "down while people write: everything is answered once, in order, when it is back",
    () =>
      Effect.gen(function*() {
        const stack = yield* startStack({ workspace: { retryDelays: [0, 50, 100] } })
        const sandbox = yield* stack.sandbox(quietProfile)
        yield* stack.bridge.kill9
        const first = yield* sandbox.say(bashScript("echo first-answer"))
        const second = yield* sandbox.say(bashScript("echo second-answer"))
        // Slack has given up delivering; only the history has them now.
        yield* stack.workspace.eventsDelivered
        yield* stack.startBridge
        for (const [ts, text] of [[first, "first-answer"], [second, "second-answer"]] as const) {
          const done = yield* sandbox.untilReaction(ts, "white_check_mark")
          assert.lengthOf(botTexts(done, stack.workspace.botUserId).filter((said) => said.includes(text)), 1)
        }
      })
  )
})

describe("kill -9 of the runtime", () => {
  it.live(
    "while the agent runs: the agent does not live on, the turn goes on and is answered once",
    () =>
      Effect.gen(function*() {
        const stack = yield* startStack()
        const sandbox = yield* stack.sandbox(slackProfile)
        const gate = inWorkspace(stack, sandbox, "gate")
        const ts = yield* sandbox.say(gated("went-on"))
        const pid = yield* begunPid(stack, sandbox)
        yield* stack.runtime.kill9
        yield* stack.startRuntime
        yield* untilReal("the first agent is gone", Effect.sync(() => !alive(pid)))
        fs.writeFileSync(gate, "")
        const done = yield* sandbox.untilReaction(ts, "white_check_mark")
        const rows = yield* ledgerOf(stack.state, sandbox.row.id)
        assert.strictEqual(rows[0]?.attempt, 2)
        assert.isNotEmpty(botTexts(done, stack.workspace.botUserId))
      })
  )

  it.live("while a message joins a turn, and while the agent works on both: one turn, and a mark under each", () =>
    Effect.gen(function*() {
      const stack = yield* startStack()
      const sandbox = yield* stack.sandbox(profileWith({ ...quietProfile.spec.cli, slackBusyPolicy: "debounce" }))
      const first = yield* sandbox.say(gated("went-on"))
      const second = yield* sandbox.say("and a second thing", first)
      yield* untilReal(
        "the second has joined",
        Effect.map(ledgerOf(stack.state, sandbox.row.id), (rows) => rows.some(({ state }) => state === "joined"))
      )
      const runtime = yield* restart(stack.runtime, stack)
      yield* begunPid(stack, sandbox)
      yield* restart(runtime, stack)
      fs.writeFileSync(inWorkspace(stack, sandbox, "gate"), "")
      for (const ts of [first, second]) yield* sandbox.untilReaction(ts, "white_check_mark")
      const rows = yield* untilReal(
        "both are settled",
        Effect.map(
          ledgerOf(stack.state, sandbox.row.id),
          (found) => found.every(({ state }) => state === "settled") ? found : undefined
        )
      )
      const leader = rows.find(({ joined }) => joined === undefined)
      assert.deepStrictEqual(rows.map(({ joined }) => joined).filter((key) => key !== undefined), [leader?.key])
      assert.deepInclude(leader, { result: "answered", attempt: 2 })
      const [asked] = yield* stack.model.requests
      assert.include(asked?.body, "and a second thing")
    }))

  it.live("between answer and post: the answer is posted once", () =>
    Effect.gen(function*() {
      const stack = yield* startStack()
      const sandbox = yield* stack.sandbox(quietProfile)
      const gate = inWorkspace(stack, sandbox, "gate")
      const ts = yield* sandbox.say(gated("the-answer"))
      yield* begunPid(stack, sandbox)
      yield* stack.bridge.kill9
      fs.writeFileSync(gate, "")
      yield* untilReal(
        "the answer is written down and cannot be posted",
        Effect.map(ledgerOf(stack.state, sandbox.row.id), (rows) => rows.some(({ state }) => state === "answered"))
      )
      yield* stack.runtime.kill9
      yield* stack.startBridge
      yield* stack.startRuntime
      yield* oneOutcome(stack, sandbox, ts, "the-answer")
    }))

  it.live("twice while the agent runs: the turn is parked, and says what to do", () =>
    Effect.gen(function*() {
      const stack = yield* startStack()
      const sandbox = yield* stack.sandbox(quietProfile)
      const ts = yield* sandbox.say(gated("never"))
      const first = yield* begunPid(stack, sandbox)
      const second = yield* restart(stack.runtime, stack)
      yield* untilReal(
        "the second attempt runs",
        Effect.map(ledgerOf(stack.state, sandbox.row.id), (rows) =>
          rows.some((row) => row.state === "running" && row.attempt === 2 && row.process?.pid !== first))
      )
      yield* restart(second, stack)
      const done = yield* sandbox.untilReaction(ts, "x")
      const texts = botTexts(done, stack.workspace.botUserId)
      assert.lengthOf(
        texts.filter((text) =>
          text.includes("Parked")
        ),
        1,
        texts.join("\n---\n")
      )
      assert.notInclude(reactionsOf(done), "white_check_mark")
    }))
})

describe("kill -9 of the agent", () => {
  it.live("the turn goes on in a second attempt and is answered once", () =>
    Effect.gen(function*() {
      const stack = yield* startStack()
      const sandbox = yield* stack.sandbox(quietProfile)
      const gate = inWorkspace(stack, sandbox, "gate")
      const ts = yield* sandbox.say(gated("finished"))
      const pid = yield* begunPid(stack, sandbox)
      process.kill(pid, "SIGKILL")
      fs.writeFileSync(gate, "")
      const done = yield* sandbox.untilReaction(ts, "white_check_mark")
      assert.isNotEmpty(botTexts(done, stack.workspace.botUserId))
      const row = Option.fromNullishOr((yield* ledgerOf(stack.state, sandbox.row.id))[0])
      assert.strictEqual(Option.getOrThrow(row).attempt, 2)
    }))
})

describe("an upload that Slack does not take", () => {
  it.live(
    "holds neither mark nor slot, and is done after kill -9 of the runtime: one file is at rest",
    () =>
      Effect.gen(function*() {
        const stack = yield* startStack()
        const sandbox = yield* stack.sandbox()
        const fault = yield* stack.workspace.faults.add({
          method: "files.getUploadURLExternal",
          times: 0,
          fault: { kind: "server-error" }
        })
        const first = yield* sandbox.say("please look around and tell me what you see")
        yield* sandbox.untilReaction(first, "white_check_mark")
        // The same thread goes on as well.
        const second = yield* sandbox.say("and once more", first)
        yield* sandbox.untilReaction(second, "white_check_mark")
        yield* untilReal(
          "both turns are settled",
          Effect.map(
            ledgerOf(stack.state, sandbox.row.id),
            (rows) => rows.length === 2 && rows.every(({ state }) => state === "settled")
          )
        )
        assert.deepStrictEqual(filesOf(yield* sandbox.thread(first)), [])
        yield* stack.runtime.kill9
        yield* stack.workspace.faults.clear(fault)
        yield* stack.startRuntime
        yield* sandbox.untilFiles(first, (names) => names.length === 1)
        // A third turn replaces it, although the first deletion fails; nothing of the old one stays.
        yield* stack.workspace.faults.add({ method: "files.delete", fault: { kind: "server-error" } })
        const third = yield* sandbox.say("and a last time", first)
        yield* sandbox.untilReaction(third, "white_check_mark")
        const [before] = filesOf(yield* sandbox.thread(first))
        yield* stack.workspace.waitFor(
          ({ data, kind }) => kind === "call" && data["method"] === "files.delete" && data["ok"] === true,
          0
        )
        const rest = yield* sandbox.untilFiles(first, (names) => names.length === 1)
        assert.deepStrictEqual(filesOf(rest), [String(before)])
        assert.isFalse(rest.replies.some(({ message }) => JSON.stringify(message).includes("tombstone")))
      }),
    240_000
  )
})
