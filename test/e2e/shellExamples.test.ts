/**
 * The shell sessions of the README and of the operators' guide, as they stand there: every `sh` block is run by a shell
 * with `km` on its PATH, against one install in real processes, and every command must succeed.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { spawn } from "node:child_process"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { wordsOf } from "../../km-cli/at/ActionLine.ts"
import { readProfile } from "../../profiles/ProfileFile.ts"
import { agentKinds } from "../../runtime/adapters/agents.ts"
import { durationMillis } from "../../runtime/domain/profile/Profile.ts"
import { Alias, InstallName, SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import { noReport } from "../../runtime/domain/sandbox/Sandbox.ts"
import { ControlPlane } from "../../runtime/kernel/sandboxes/ControlPlane.ts"
import { Provisioning } from "../../runtime/kernel/sandboxes/Provisioning.ts"
import { Teardown } from "../../runtime/kernel/sandboxes/Teardown.ts"
import { World } from "../support/ControlWorld.ts"
import { sessionsOf, writeKm, writeTools } from "../support/documentExamples.ts"
import { kmProgram, kmUp } from "../support/KmProcess.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { TestKm } from "../support/TestKm.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const documents = ["README.md", "docs/operating.md"]

/** What sets the machine up and not the install; the test has its own. */
const setup = /^(make|npm|npx|git|cd|alias|export|source|curl|systemctl)\b/

/** The lines that are run; a continued line belongs to the one before it. */
const linesOf = (block: string): ReadonlyArray<string> =>
  block.replaceAll("\\\n", " ").split("\n").map((line) => line.trim()).filter((line) =>
    line !== "" && !line.startsWith("#") && !setup.test(line)
  )

interface Ended {
  readonly exit: number | null
  readonly text: string
}

const shell = (state: string, tools: string, script: string) =>
  Effect.callback<Ended>((resume) => {
    const child = spawn("sh", ["-eu", "-c", script], {
      cwd: root,
      env: { PATH: `${tools}:/usr/bin:/bin`, HOME: state, KM_STATE: state },
      stdio: ["ignore", "pipe", "pipe"]
    })
    let text = ""
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (part: Buffer) => text += part.toString())
    child.once("close", (exit) => resume(Effect.succeed({ exit, text })))
    return Effect.sync(() => void child.kill("SIGKILL"))
  })

describe("shell sessions of the documents", () => {
  it.live("do what they say, as typed", () =>
    Effect.gen(function*() {
      const state = path.join(yield* temporaryDirectory, "state")
      const tools = writeKm(writeTools(yield* temporaryDirectory), kmProgram)
      // `claude` is found beside the sources, as everywhere in the tests.
      yield* kmUp(state)
      let ran = 0
      for (const document of documents) {
        for (const { block, line, notRun } of sessionsOf(document)) {
          if (notRun !== undefined) continue
          for (const command of linesOf(block)) {
            const { exit, text } = yield* shell(state, tools, command)
            assert.strictEqual(exit, 0, `${document}:${line}: ${command}\n${text}`)
            ran += 1
            // The scripted model keeps to what is asked of it, and the pipeline comes to its end.
            if (command.startsWith("km email list --from")) assert.match(text, /verified .*Re: Deploy/)
          }
        }
      }
      assert.isAbove(ran, 12)
    }).pipe(Effect.scoped), 600_000)
})

/** The words of the commands of a document that begin so. */
const commandsOf = (document: string, begin: string) =>
  sessionsOf(document).flatMap(({ block }) => linesOf(block)).map((line) => line.replace(/\s+#.*$/, "")).filter((
    line
  ) => line.startsWith(begin)).map((line) => {
    const words = wordsOf(line)
    return words._tag === "Success" ? words.success.slice(1) : assert.fail(line)
  })

describe("the schedules of the documents", () => {
  it.effect("find their sandboxes when their time comes, a week of control rounds later, and km at warns of nothing", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(Date.parse("2026-11-30T12:00:00Z"))
      const world = new World()
      const km = new TestKm(world)
      yield* Effect.gen(function*() {
        const provisioning = yield* Provisioning
        for (const [n, words] of commandsOf("README.md", "km create").entries()) {
          const [, file = "", , alias = ""] = words
          const { profile } = yield* readProfile(path.join(root, file), {
            agents: agentKinds,
            ownerOfChannel: () => undefined
          })
          if (profile === undefined || profile.metadata.name === "demo") continue
          yield* provisioning.create({
            id: SandboxId.make(`sb-0000000${n}`),
            install: InstallName.make("km"),
            alias: Alias.make(alias),
            profile,
            unconfined: false,
            readyWithin: Duration.seconds(10)
          })
        }
        const schedules = commandsOf("README.md", "km at '")
        assert.isAbove(schedules.length, 0)
        for (const words of schedules) {
          const { err, exit, out } = yield* km.run(...words)
          assert.strictEqual(exit, 0, err.join("\n"))
          assert.notMatch(err.join("\n"), /warning/)
          assert.isAbove(out.length, 0)
        }
        const there = [...world.rows.keys()]
        const control = yield* ControlPlane
        const due = Math.max(...[...world.schedules.schedules.values()].map(({ nextAt }) => nextAt ?? Infinity))
        for (let hours = 0; hours < 8 * 24; hours++) {
          yield* TestClock.adjust("1 hour")
          const now = Date.parse("2026-11-30T12:00:00Z") + (hours + 1) * 3_600_000
          for (const id of world.rows.keys()) world.reports.reports.set(id, { ...noReport, lastSeenAt: now })
          yield* control.round
          if (now <= due) assert.deepStrictEqual([...world.rows.keys()], there)
        }
      }).pipe(Effect.provide(
        ControlPlane.layer.pipe(
          Layer.provideMerge(Provisioning.layer),
          Layer.provideMerge(Teardown.layer),
          Layer.provideMerge(world.layer())
        )
      ))
    }).pipe(Effect.provide(NodeServices.layer)))
})

describe("profiles", () => {
  it.effect("that stay have no end, and what works by mail stays", () =>
    Effect.gen(function*() {
      for (const name of ["standing", "worker"]) {
        const { profile } = yield* readProfile(path.join(root, `profiles/${name}.yaml`), {
          agents: agentKinds,
          ownerOfChannel: () => undefined
        })
        const { idleTimeout, ttl } = profile?.spec.lifecycle ?? assert.fail(`no profile ${name}`)
        assert.deepStrictEqual([durationMillis(ttl), durationMillis(idleTimeout)], [0, 0])
      }
    }).pipe(Effect.provide(NodeServices.layer)))
})
