import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { fromAgent, fromHook, type LiveInput } from "../../../plugins/transcript/LiveInput.ts"
import {
  beginRun,
  emptyModel,
  endsWith,
  fold,
  type LiveModel,
  reconcile
} from "../../../plugins/transcript/LiveModel.ts"
import { SessionId } from "../../../runtime/domain/sandbox/Ids.ts"
import { HookEvent } from "../../../runtime/domain/turn/HookEvent.ts"
import { AgentEvent } from "../../../runtime/ports/Agent.ts"

const session = SessionId.make("11111111-1111-4111-8111-111111111111")
const same = (text: string) => text

/** What really happened in a turn: texts, some of them alike, and tool calls. */
type Happened = { readonly text: string } | { readonly tool: string; readonly failed: boolean }

const Step = Schema.Struct({
  /** Under 6: one of six texts, so that texts repeat; else a tool call. */
  what: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9 })),
  failed: Schema.Boolean,
  hookLost: Schema.Boolean,
  hookTwice: Schema.Boolean,
  stdoutTwice: Schema.Boolean
})
const Turn = Schema.Array(Step)
const Choices = Schema.Array(Schema.Boolean)

const happened = (steps: typeof Turn.Type): ReadonlyArray<Happened> =>
  steps.map((step, index) => step.what < 6 ? { text: `text ${step.what}` } : { tool: `t${index}`, failed: step.failed })

const hooksOf = (item: Happened, index: number): ReadonlyArray<HookEvent> => {
  const common = { session_id: session, prompt_id: "p" }
  if ("text" in item) {
    const delta = ` ${item.text}\n`
    return [{ ...common, hook_event_name: "MessageDisplay", message_id: `m${index}`, index: 0, final: true, delta }]
  }
  const tool = { ...common, tool_name: "Bash", tool_use_id: item.tool, tool_input: { command: item.tool } }
  return [{ ...tool, hook_event_name: item.failed ? "PostToolUseFailure" : "PostToolUse" }]
}

const stdoutOf = (items: ReadonlyArray<Happened>): ReadonlyArray<ReadonlyArray<AgentEvent>> => {
  let ordinal = 0
  return items.map((item) =>
    "text" in item ? [AgentEvent.Text({ ordinal: ordinal++, text: item.text })] : [
      AgentEvent.ToolUsed({ id: item.tool, name: "Bash", input: { command: item.tool } }),
      AgentEvent.ToolFinished({ id: item.tool, isError: item.failed })
    ]
  )
}

const fileOf = (items: ReadonlyArray<Happened>): ReadonlyArray<LiveInput> =>
  items.flatMap((item): ReadonlyArray<LiveInput> =>
    "text" in item ? [{ _tag: "Text", by: "file", text: item.text }] : [
      { _tag: "Tool", by: "file", id: item.tool, name: "Bash", input: {} },
      { _tag: "ToolEnd", id: item.tool, failed: item.failed }
    ]
  )

/** Merges two lists, keeping the order of each, as `choices` say; then the rest. */
const interleave = <A>(left: ReadonlyArray<A>, right: ReadonlyArray<A>, choices: ReadonlyArray<boolean>) => {
  const [a, b] = [[...left], [...right]]
  const merged: Array<A> = []
  for (const fromLeft of choices) merged.push(...(fromLeft ? a : b).splice(0, 1))
  return [...merged, ...a, ...b]
}

/** Neighbours change places where `choices` say so: hooks of parallel calls arrive in any order. */
const shaken = <A>(items: ReadonlyArray<A>, choices: ReadonlyArray<boolean>): ReadonlyArray<A> => {
  const moved = [...items]
  for (let index = 1; index < moved.length; index++) {
    if (choices[index] === true) moved.splice(index - 1, 2, ...moved.slice(index - 1, index + 1).toReversed())
  }
  return moved
}

const hookInputs = (items: ReadonlyArray<Happened>, steps: typeof Turn.Type): ReadonlyArray<LiveInput> =>
  items.flatMap((item, index) => {
    const inputs = hooksOf(item, index).flatMap(fromHook)
    if (steps[index]?.hookLost === true) return []
    return steps[index]?.hookTwice === true ? [...inputs, ...inputs] : inputs
  })

const stdoutInputs = (items: ReadonlyArray<Happened>, steps: typeof Turn.Type): ReadonlyArray<LiveInput> =>
  stdoutOf(items).flatMap((events, index) => {
    const inputs = events.flatMap(fromAgent)
    return steps[index]?.stdoutTwice === true ? [...inputs, ...inputs] : inputs
  })

const foldAll = (inputs: ReadonlyArray<LiveInput>, from: LiveModel = emptyModel) => inputs.reduce(fold, from)

/** Texts in order, then tools in order: what is shown. */
const shown = (model: LiveModel) => ({
  texts: model.entries.flatMap((entry) => entry.kind === "text" ? [entry.text.trim()] : []),
  tools: model.entries.flatMap((entry) => entry.kind === "tool" ? [`${entry.id} ${entry.state}`] : [])
})
const truth = (items: ReadonlyArray<Happened>) => ({
  texts: items.flatMap((item) => "text" in item ? [item.text] : []),
  tools: items.flatMap((item) => "tool" in item ? [`${item.tool} ${item.failed ? "failed" : "done"}`] : [])
})

/** Standard output starts a subagent, and tells the `n`-th call of the one that was started by `id`. */
const startOf = (id: string): LiveInput => ({ _tag: "Tool", by: "stdout", id, name: "Agent", input: {} })
const innerOf = (id: string, n: number): ReadonlyArray<LiveInput> =>
  fromAgent(AgentEvent.SubagentToolUsed({ id: `${id}${n}`, parent: id, agent: `agent of ${id}`, type: "Explore" }))

describe("LiveModel", () => {
  it.prop(
    "hooks lost, doubled, reordered and interleaved with standard output: each text once and in order, each tool once",
    [Turn, Choices, Choices],
    ([steps, choices, swaps]) => {
      const items = happened(steps)
      const model = foldAll(interleave(shaken(hookInputs(items, steps), swaps), stdoutInputs(items, steps), choices))
      assert.deepStrictEqual(shown(model), truth(items))
    },
    { arbitrary: { runs: 500 } }
  )

  it.prop(
    "without a hook for tools, as in a dispatched turn: standard output alone tells each call and how it ended",
    [Turn, Choices, Choices],
    ([steps, choices, swaps]) => {
      const items = happened(steps)
      const hooks = shaken(hookInputs(items, steps), swaps).filter(({ _tag }) => _tag === "Piece")
      const model = foldAll(interleave(hooks, stdoutInputs(items, steps), choices))
      assert.deepStrictEqual(shown(model), truth(items))
    },
    { arbitrary: { runs: 500 } }
  )

  it.prop(
    "standard output cut short by a crash and lost hooks are made good by the file, also when it is read twice",
    [Turn, Choices, Choices, Schema.Int],
    ([steps, choices, swaps, cut]) => {
      const items = happened(steps)
      const stdout = stdoutInputs(items, steps)
      const prefix = stdout.slice(0, Math.abs(cut) % (stdout.length + 1))
      const live = foldAll(interleave(shaken(hookInputs(items, steps), swaps), prefix, choices))
      const once = reconcile(live, fileOf(items))
      assert.deepStrictEqual(shown(once), truth(items))
      assert.deepStrictEqual(shown(reconcile(once, fileOf(items))), truth(items))
    },
    { arbitrary: { runs: 500 } }
  )

  it.prop(
    "without a file, every text that any witness told is there once and in order",
    [Turn, Choices, Schema.Int],
    ([steps, choices, cut]) => {
      const items = steps.map((_, index): Happened => ({ text: `text ${index}` }))
      const stdout = stdoutInputs(items, steps)
      const length = Math.abs(cut) % (stdout.length + 1)
      const told = new Set(stdout.slice(0, length).flatMap((input) => input._tag === "Text" ? [input.text] : []))
      items.forEach((item, index) => {
        if ("text" in item && steps[index]?.hookLost === false) told.add(item.text)
      })
      const model = foldAll(interleave(hookInputs(items, steps), stdout.slice(0, length), choices))
      assert.deepStrictEqual(shown(model).texts, truth(items).texts.filter((text) => told.has(text)))
    },
    { arbitrary: { runs: 500 } }
  )

  it.prop(
    "a text streamed line by line comes together in any order, and the file fills what was lost",
    [Schema.Array(Schema.Struct({ word: Schema.Int, lost: Schema.Boolean })), Choices],
    ([lines, swaps]) => {
      const all = [{ word: 0, lost: false }, ...lines]
      const text = all.map(({ word }) => `line ${word}\n`).join("")
      const pieces = all.map(({ word }, index): LiveInput => ({
        _tag: "Piece",
        message: "m",
        index,
        final: index === all.length - 1,
        delta: `line ${word}\n`
      }))
      const whole = foldAll(shaken([...pieces, ...pieces], swaps))
      assert.deepStrictEqual(shown(whole).texts, [text.trim()])
      const torn = foldAll(pieces.filter((_, index) => all[index]?.lost === false))
      assert.deepStrictEqual(shown(reconcile(torn, [{ _tag: "Text", by: "file", text }])).texts, [text.trim()])
    },
    { arbitrary: { runs: 200 } }
  )

  it("takes blocks that one hook glued together for what they are", () => {
    const glued: LiveInput = { _tag: "Piece", message: "m", index: 0, final: true, delta: "first.second." }
    const blocks: ReadonlyArray<LiveInput> = [
      { _tag: "Text", by: "stdout", text: "first.", ordinal: 0 },
      { _tag: "Text", by: "stdout", text: "second.", ordinal: 1 }
    ]
    for (const inputs of [[glued, ...blocks, glued], [...blocks, glued, glued]]) {
      assert.deepStrictEqual(shown(foldAll(inputs)).texts, ["first.", "second."])
    }
  })

  it("keeps text that was interrupted and that the file does not have", () => {
    const model = foldAll([
      { _tag: "Text", by: "stdout", text: "whole", ordinal: 0 },
      { _tag: "Text", by: "stdout", text: "cut off in the mid", ordinal: 1 }
    ])
    const after = reconcile(model, [{ _tag: "Text", by: "file", text: "whole" }])
    assert.deepStrictEqual(shown(after).texts, ["whole", "cut off in the mid"])
  })

  it("shows a subagent as one line: its calls are counted, its start and the call that started it are one", () => {
    const call: LiveInput = { _tag: "Tool", by: "stdout", id: "a", name: "Agent", input: { description: "look" } }
    const agent = { session_id: session, agent_id: "g1", agent_type: "Explore" }
    const start = fromHook({ ...agent, hook_event_name: "SubagentStart" })
    const inner = fromHook({ ...agent, hook_event_name: "PostToolUse", tool_name: "Bash", tool_use_id: "inner" })
    const text = fromHook({ ...agent, hook_event_name: "MessageDisplay", delta: "not shown" })
    const stop = fromHook({ ...agent, hook_event_name: "SubagentStop" })
    const leaked: LiveInput = { _tag: "Tool", by: "stdout", id: "inner", name: "Bash", input: {} }
    const after: LiveInput = { _tag: "Text", by: "stdout", text: "after", ordinal: 0 }
    for (
      const inputs of [
        [call, ...start, leaked, ...inner, ...inner, ...text, ...stop, after],
        [...start, ...inner, leaked, call, ...stop, after],
        [...start, call, leaked, ...inner, after, ...stop]
      ]
    ) {
      const model = foldAll(inputs)
      assert.deepStrictEqual(model.entries.map((entry) => entry.kind), ["subagent", "text"])
      const [entry] = model.entries
      assert.isTrue(entry?.kind === "subagent" && entry.calls.size === 1 && entry.state === "done")
      assert.isTrue(entry?.kind === "subagent" && entry.tool?.id === "a")
    }
  })

  it("counts the calls of each subagent from standard output alone, whenever its hooks come", () => {
    const end: ReadonlyArray<LiveInput> = [
      { _tag: "ToolEnd", id: "a", failed: false },
      { _tag: "ToolEnd", id: "b", failed: false }
    ]
    const stdout = [
      startOf("a"),
      startOf("b"),
      ...innerOf("b", 1),
      ...innerOf("a", 1),
      ...innerOf("a", 2),
      ...innerOf("b", 1),
      ...end
    ]
    const hooks = ["a", "b"].flatMap((id) => {
      const agent = { session_id: session, agent_id: `agent of ${id}`, agent_type: "Explore" }
      return fromHook({ ...agent, hook_event_name: "SubagentStart" })
    })
    for (
      const inputs of [stdout, [...hooks, ...stdout], [...stdout.slice(0, 2), ...hooks, ...stdout.slice(2)], [
        ...stdout.slice(0, 4),
        ...hooks,
        ...stdout.slice(4)
      ]]
    ) {
      const subagents = foldAll(inputs).entries.map((entry) =>
        entry.kind === "subagent"
          ? [entry.agent, entry.tool?.id, entry.calls.size, entry.state, entry.type]
          : entry.kind
      )
      assert.deepStrictEqual(subagents, [
        ["agent of a", "a", 2, "done", "Explore"],
        ["agent of b", "b", 1, "done", "Explore"]
      ])
    }
  })

  it("takes back a failure that hooks alone told as text, and no text of the model", () => {
    const error: LiveInput = { _tag: "Piece", message: "m", index: 0, final: true, delta: "API Error: 529 Overloaded" }
    const told: LiveInput = { _tag: "Text", by: "stdout", text: "A text.", ordinal: 0 }
    const reason = "the model was overloaded: API Error: 529 Overloaded"
    const model = foldAll([told, error, { _tag: "Retract", text: reason }, error])
    assert.deepStrictEqual(shown(model).texts, ["A text."])
    for (const text of ["", "A text.", "something else"]) {
      assert.deepStrictEqual(shown(foldAll([told, { _tag: "Retract", text }])).texts, ["A text."])
    }
  })

  it("shows a retry as one status line until the next sign of life", () => {
    const retry = AgentEvent.ApiRetry({ attempt: 1, maxRetries: 4, status: 529, error: "overloaded" })
    const waiting = foldAll([...fromAgent(retry), ...fromAgent({ ...retry, attempt: 2 })])
    assert.include(waiting.status ?? "", "retry 2 of 4")
    assert.strictEqual(waiting.entries.length, 0)
    assert.isUndefined(fold(waiting, { _tag: "Text", by: "stdout", text: "on", ordinal: 0 }).status)
  })

  it("goes on after what an earlier run of the turn has shown, in the same session or in a fresh one", () => {
    const first = foldAll([{ _tag: "Text", by: "stdout", text: "one", ordinal: 0 }])
    for (const fresh of [true, false]) {
      const second = fold(beginRun(first, fresh), { _tag: "Text", by: "stdout", text: "two", ordinal: 0 })
      assert.deepStrictEqual(shown(second).texts, ["one", "two"])
    }
    const told: ReadonlyArray<LiveInput> = [{ _tag: "Text", by: "file", text: "zwei" }]
    assert.deepStrictEqual(shown(reconcile(beginRun(first, true), told)).texts, ["one", "zwei"])
  })

  it("knows whether an answer is shown, white space aside and across blocks", () => {
    const model = foldAll([
      { _tag: "Text", by: "stdout", text: "A.", ordinal: 0 },
      { _tag: "Tool", by: "stdout", id: "t", name: "Bash", input: {} },
      { _tag: "Text", by: "stdout", text: " B. \n", ordinal: 1 }
    ])
    for (const answer of ["B.", "A.\nB.", "A.B."]) assert.isTrue(endsWith(model, answer, same), answer)
    for (const answer of ["C.", "A.", "A. B. C."]) assert.isFalse(endsWith(model, answer, same), answer)
    assert.isTrue(endsWith(model, "[x].", (text) => text.replace("B", "[x]")))
  })

  it.prop("never throws on what an agent can forge", [Schema.Array(HookEvent)], ([events]) => {
    assert.doesNotThrow(() => foldAll(events.flatMap(fromHook)))
  })
})
