/**
 * The pipeline of the guide, unattended and in real processes: a schedule has one sandbox run its tests, its mail has
 * the other one deploy. Both agents are the real CLI. Killed at any point, nothing is lost and nothing happens twice.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Schema } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as UpFile from "../../km-cli/up/UpFile.ts"
import { SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import { originKind } from "../../runtime/domain/turn/Turn.ts"
import { km, kmUp } from "../support/KmProcess.ts"
import { ledgerOf } from "../support/ledgerOf.ts"
import { bashScript } from "../support/ScriptedModel.ts"
import { untilReal } from "../support/untilReal.ts"

const profile = (name: string): string => fileURLToPath(new URL(`../../profiles/${name}.yaml`, import.meta.url))

const Created = Schema.Struct({ sandbox: Schema.Struct({ id: SandboxId }) })
const Planned = Schema.Struct({ schedule: Schema.Struct({ name: Schema.String }), next: Schema.Array(Schema.String) })
const History = Schema.Struct({
  runs: Schema.Array(Schema.Struct({
    state: Schema.String,
    outcome: Schema.optionalKey(Schema.String),
    code: Schema.optionalKey(Schema.String),
    detail: Schema.optionalKey(Schema.String)
  }))
})
const Listed = Schema.Struct({
  messages: Schema.Array(Schema.Struct({
    status: Schema.String,
    sender: Schema.optionalKey(Schema.String),
    subject: Schema.String,
    inReplyTo: Schema.optionalKey(Schema.NullOr(Schema.String))
  }))
})

const temporary = Effect.flatMap(FileSystem.FileSystem, (files) => files.makeTempDirectoryScoped({ prefix: "km-e2e-" }))

/** A command that must succeed, and its JSON. */
const ask = <A>(schema: Schema.Codec<A, unknown>, state: string, ...args: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const ran = yield* km(state, [...args, "--json"])
    assert.strictEqual(ran.exit, 0, `km ${args.join(" ")}\n${ran.out}\n${ran.err}`)
    return yield* Schema.decodeEffect(Schema.fromJsonString(schema))(ran.out)
  }).pipe(Effect.orDie)

/** Says that it began, waits for its gate, and says that it ended. */
const gated = (name: string) =>
  bashScript(
    `echo run >> ${name}-began; while [ ! -e ${name}-gate ]; do sleep 0.05; done; echo done >> ${name}-ended; echo PASSED`
  )

const lines = (file: string): ReadonlyArray<string> =>
  fs.existsSync(file) ? fs.readFileSync(file, "utf8").trim().split("\n") : []

/** Two sandboxes and the pipeline between them, as the guide has it; each step says that it began and waits. */
const makePipeline = Effect.fnUntraced(function*(state: string, gate: ReadonlyArray<string> = []) {
  const smoke = yield* ask(Created, state, "create", profile("demo"), "--alias", "smoke")
  const deploy = yield* ask(Created, state, "create", profile("worker"), "--alias", "deploy")
  const planned = yield* ask(
    Planned,
    state,
    "at",
    "every Monday at 9am",
    "agent",
    "run",
    "smoke",
    "--prompt",
    gated("tests"),
    ...gate,
    "--on-success",
    `email send --to deploy --subject 'Deploy build 42' --body-text '${gated("deploy")}'`,
    "--on-failure",
    "email send --to operator --subject 'Smoke tests failed' --body-text 'Nothing was deployed.'",
    "--yes"
  )
  assert.lengthOf(planned.next, 5)
  const { name } = planned.schedule
  const workspace = (id: string) => path.join(state, "sandboxes", id, "workspace")
  const at = { tests: smoke.sandbox.id, deploy: deploy.sandbox.id }
  type Step = keyof typeof at
  const file = (step: Step, what: string) => path.join(workspace(at[step]), `${step}-${what}`)
  return {
    smoke: smoke.sandbox.id,
    deploy: deploy.sandbox.id,
    fire: Effect.asVoid(ask(Schema.Unknown, state, "at", "run-now", name, "--yes")),
    began: (step: Step) => untilReal(`${step} began`, Effect.sync(() => lines(file(step, "began")).length > 0)),
    open: (step: Step) => Effect.sync(() => fs.writeFileSync(file(step, "gate"), "")),
    times: (step: Step) => lines(file(step, "ended")).length,
    history: Effect.map(ask(History, state, "at", "history", name), ({ runs }) => runs),
    mailOf: (id: string) => Effect.map(ask(Listed, state, "email", "list", id), ({ messages }) => messages),
    /** The operator's mail, without the notices of the sandboxes' lives, which come when they come. */
    told: Effect.map(
      ask(Listed, state, "email", "list", "operator"),
      ({ messages }) => messages.filter(({ subject }) => !subject.startsWith("Sandbox "))
    )
  }
})
type Pipeline = Effect.Success<ReturnType<typeof makePipeline>>

/** Both steps' runs, newest first. */
const ended = (pipeline: Pipeline) =>
  untilReal(
    "the runs are recorded",
    Effect.map(
      pipeline.history,
      (found) => found.length === 2 && found.every(({ state: at }) => at === "ended") && found
    )
  )

/** The end of every one of these: each step once, the mail once, one outcome, told once to who asked. */
const carriedOut = Effect.fnUntraced(function*(state: string, pipeline: Pipeline) {
  const turns = yield* untilReal(
    "the deploy is settled",
    Effect.map(
      ledgerOf(state, pipeline.deploy),
      (rows) => rows.length > 0 && rows.every((row) => row.state === "settled") && rows
    )
  )
  assert.lengthOf(turns, 1, "one message is one turn")
  const [turn] = turns
  assert.strictEqual(turn?.result, "answered")
  assert.strictEqual(turn === undefined ? "" : originKind(turn.request.origin), "mail")
  const mail = yield* pipeline.mailOf(pipeline.deploy)
  assert.lengthOf(mail, 1, "the mail came once")
  assert.deepInclude(mail[0], { status: "verified", sender: "operator", subject: "Deploy build 42" })
  const answers = yield* untilReal(
    "the answer is back",
    Effect.map(pipeline.told, (found) => found.length > 0 && found)
  )
  assert.lengthOf(answers, 1, "the answer came once")
  assert.deepInclude(answers[0], { status: "verified", sender: pipeline.deploy, subject: "Re: Deploy build 42" })
  const runs = yield* ended(pipeline)
  assert.deepStrictEqual(runs.map(({ outcome }) => outcome), ["succeeded", "succeeded"], JSON.stringify(runs))
  return turn
})

const killPart = (state: string, name: "runtime" | "bridge") =>
  Effect.gen(function*() {
    const up = yield* UpFile.read(path.join(state, "run"))
    const found = up._tag === "Some" ? up.value.children.find((child) => child.name === name) : undefined
    assert.isDefined(found)
    if (found !== undefined) assert.isTrue(yield* UpFile.signal(found.process, "SIGKILL"))
    return found
  })

describe("a pipeline of two agents", () => {
  it.live(
    "every Monday at 9am one runs the tests, and on success mails the other, which deploys",
    () =>
      Effect.gen(function*() {
        const state = path.join(yield* temporary, "state")
        yield* kmUp(state)
        const pipeline = yield* makePipeline(state, ["--expect", "PASSED"])
        yield* pipeline.open("tests")
        yield* pipeline.open("deploy")
        yield* pipeline.fire
        yield* carriedOut(state, pipeline)
        assert.deepStrictEqual([pipeline.times("tests"), pipeline.times("deploy")], [1, 1])
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("tests that do not pass deploy nothing, and the operator is told", () =>
    Effect.gen(function*() {
      const state = path.join(yield* temporary, "state")
      yield* kmUp(state)
      const pipeline = yield* makePipeline(state, ["--expect", "ALL-PASSED"])
      yield* pipeline.open("tests")
      yield* pipeline.fire
      const told = yield* untilReal(
        "the operator is told",
        Effect.map(pipeline.told, (found) => found.length > 0 && found)
      )
      assert.deepStrictEqual(told.map(({ status, subject }) => [status, subject]), [["verified", "Smoke tests failed"]])
      const runs = yield* ended(pipeline)
      assert.deepStrictEqual(runs.map(({ code, outcome }) => [outcome, code]), [["succeeded", undefined], [
        "failed",
        "KM-SCH-026"
      ]])
      assert.deepStrictEqual(yield* pipeline.mailOf(pipeline.deploy), [])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.live("kill -9 of the runtime while either agent works: both steps end once", () =>
    Effect.gen(function*() {
      const state = path.join(yield* temporary, "state")
      yield* kmUp(state)
      const pipeline = yield* makePipeline(state)
      yield* pipeline.fire
      yield* pipeline.began("tests")
      yield* killPart(state, "runtime")
      yield* pipeline.open("tests")
      yield* pipeline.began("deploy")
      yield* killPart(state, "runtime")
      yield* pipeline.open("deploy")
      const turn = yield* carriedOut(state, pipeline)
      assert.strictEqual(turn?.attempt, 2, "the deploy was interrupted and went on")
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.live("kill -9 of km up between the steps: the next one goes on where it was", () =>
    Effect.gen(function*() {
      const state = path.join(yield* temporary, "state")
      const first = yield* kmUp(state)
      const pipeline = yield* makePipeline(state)
      yield* pipeline.fire
      yield* pipeline.began("tests")
      first.child.kill("SIGKILL")
      yield* Effect.promise(() => first.ended)
      yield* pipeline.open("tests")
      yield* pipeline.open("deploy")
      yield* kmUp(state)
      yield* carriedOut(state, pipeline)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
})
