/**
 * What the largest file costs in memory on its way into a sandbox and out of it: bridge, runtime and `km-attach` as people
 * run them, by the kernel's own peak (`VmHWM`), against what each had before.
 */
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import { profileWith } from "../support/profiles.ts"
import { bashScript } from "../support/ScriptedModel.ts"
import { filesOf, makeStack, type Program } from "../support/Stack.ts"
import { untilReal } from "../support/untilReal.ts"
import { slackClient, tokenOf } from "../support/Workspace.ts"
import { type BenchRow, meets } from "./BenchRow.ts"

const megabytes = 100
const warmMegabytes = 4

/** Mebibytes of a field of `/proc/PID/status`. */
const memoryOf = (pid: number, field: "VmHWM" | "VmRSS"): number =>
  Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(fs.readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1_024

/** From now on the peak counts anew. Source: proc_pid_clear_refs(5), value 5. */
const resetPeak = (pid: number): void => fs.writeFileSync(`/proc/${pid}/clear_refs`, "5")

/** How much more each program had at most while `effect` ran. */
const extra = <A, E, R>(programs: ReadonlyArray<Program>, effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const before = programs.map(({ pid }) => memoryOf(pid, "VmRSS"))
    programs.forEach(({ pid }) => resetPeak(pid))
    yield* effect
    return programs.map(({ pid }, n) => memoryOf(pid, "VmHWM") - (before[n] ?? 0))
  })

const measured = Effect.scoped(Effect.gen(function*() {
  const stack = yield* makeStack({})
  const programs = [yield* stack.startBridge, yield* stack.startRuntime]
  const sandbox = yield* stack.sandbox(profileWith({
    notifySlackEnabled: true,
    notifySlackPerSandbox: true,
    notifySlackInboundEnabled: true
  }))
  const ada = slackClient(stack.workspace, tokenOf(stack.workspace, "ada"))
  const dropped = Effect.fnUntraced(function*(size: number) {
    const words = bashScript(`stat -c %s "$KM_INBOX"/*/${size}.bin`)
    yield* Effect.promise(() =>
      ada.filesUploadV2({
        channel_id: sandbox.channel,
        initial_comment: words,
        filename: `${size}.bin`,
        file: Buffer.alloc(size * 1024 * 1024, 1)
      })
    )
    const message = yield* untilReal(
      "the message is there",
      Effect.map(
        Effect.orDie(stack.workspace.messages(sandbox.channel)),
        (messages) => messages.find(({ message: one }) => String(one["text"]).includes(words))
      )
    )
    const done = yield* sandbox.untilReaction(message.ts, "white_check_mark")
    const whole = done.replies.some(({ message: one }) => JSON.stringify(one).includes(String(size * 1024 * 1024)))
    if (!whole) return yield* Effect.die(new Error(`the file of ${size} MiB did not arrive: ${JSON.stringify(done)}`))
  })
  /** The program's own peak is the last thing that its shell says. */
  const attached = Effect.fnUntraced(function*(size: number) {
    const ts = yield* sandbox.say(bashScript(
      `head -c ${size}M /dev/zero > out${size}.bin; km-attach out${size}.bin & wait $!`
    ))
    yield* sandbox.untilReaction(ts, "white_check_mark")
    const names = filesOf(yield* sandbox.thread(ts))
    if (!names.includes(`out${size}.bin`)) return yield* Effect.die(new Error("the file was not attached"))
  })
  yield* dropped(warmMegabytes)
  yield* attached(warmMegabytes)
  return { incoming: yield* extra(programs, dropped(megabytes)), outgoing: yield* extra(programs, attached(megabytes)) }
}))

const row = (name: string, value: number): BenchRow => ({
  area: "chatFiles",
  name: `extra memory, ${name}`,
  unit: "MiB",
  value,
  target: "<= 32",
  ok: meets(value, "<= 32")
})

export const run = async (): Promise<ReadonlyArray<BenchRow>> => {
  const { incoming, outgoing } = await Effect.runPromise(measured)
  return [
    row(`bridge, a file of ${megabytes} MiB in`, incoming[0] ?? Number.NaN),
    row(`runtime, a file of ${megabytes} MiB in`, incoming[1] ?? Number.NaN),
    row(`bridge, a file of ${megabytes} MiB out`, outgoing[0] ?? Number.NaN),
    row(`runtime, a file of ${megabytes} MiB out`, outgoing[1] ?? Number.NaN)
  ]
}
