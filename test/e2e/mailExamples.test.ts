/** Every example of the guide for agents, run as it stands there, by agents of the real CLI where mail starts work. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { sandboxPaths, statePaths } from "../../runtime/adapters/disk/StateDirectory.ts"
import { examplesOf, writeTools } from "../support/documentExamples.ts"
import { mailDirectory, mailProgram } from "../support/mailPrograms.ts"
import { profileWith } from "../support/profiles.ts"
import { bashScript } from "../support/ScriptedModel.ts"
import { startStack } from "../support/Stack.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

/** In the sandbox's workspace, as its agent's shell: what it needs by name, its socket, and nothing else of ours. */
const shell = (directory: string, tools: string, script: string): Effect.Effect<string> =>
  Effect.callback((resume) => {
    const { workspace } = sandboxPaths(directory)
    const mail = mailDirectory(directory)
    const child = spawn("bash", ["-euo", "pipefail", "-c", script], {
      cwd: workspace,
      env: { PATH: `${mail}:${tools}:/usr/bin:/bin`, KM_MAIL_SOCKET: path.join(mail, "mail.sock") },
      stdio: ["ignore", "pipe", "pipe"]
    })
    const out = { out: "", err: "" }
    child.stdout.on("data", (chunk: Buffer) => out.out += chunk.toString())
    child.stderr.on("data", (chunk: Buffer) => out.err += chunk.toString())
    child.once(
      "close",
      (code) =>
        resume(code === 0 ? Effect.succeed(out.out) : Effect.die(new Error(`exit ${code}: ${script}\n${out.err}`)))
    )
    return Effect.sync(() => void child.kill("SIGKILL"))
  })

describe("docs/multi-agent-email.md", () => {
  it.live(
    "its examples do what it says",
    () =>
      Effect.gen(function*() {
        const examples = examplesOf("docs/multi-agent-email.md")
        const run = new Set<string>()
        const stack = yield* startStack()
        const tools = writeTools(yield* temporaryDirectory)
        const worker = profileWith({}, { email: { onReceive: "turn", allowedSenders: ["install"] } })
        const tester = yield* stack.quietSandbox(profileWith(), "tester")
        const builder = yield* stack.quietSandbox(worker, "builder")
        const checker = yield* stack.quietSandbox(worker, "checker")
        yield* stack.quietSandbox(worker, "deployer")

        const { directory, workspace } = statePaths(stack.state).sandbox(tester.id)
        const write = (name: string, text: string) => fs.writeFileSync(path.join(workspace, name), text)
        const read = (name: string) => fs.readFileSync(path.join(workspace, name), "utf8")
        const example = (name: string) => {
          run.add(name)
          return examples.get(name) ?? assert.fail(`no example ${name}`)
        }
        const byTester = (script: string) => shell(directory, tools, script)

        write("request.md", `Please build. ${bashScript("echo build 17 is done")}`)
        yield* byTester(example("request"))
        assert.strictEqual(read("answer.md"), "Output:\n\nbuild 17 is done\n")

        // A script of the tester answers what another sandbox asks and waits for.
        write("answer.md", "it works\n")
        const asker = statePaths(stack.state).sandbox(checker.id).directory
        const question = ["--to", "tester", "--subject", "job 18", "--wait-reply", "300"]
        const asked = yield* Effect.forkChild(mailProgram(asker, "km-send", question, "does it work?"))
        yield* byTester(example("reply"))
        const answered = yield* Fiber.join(asked)
        assert.deepStrictEqual([answered.exit, answered.out.toString()], [0, "it works\n"], answered.err)

        write("request.md", `Please build. ${bashScript("echo build 19 is done")}`)
        yield* byTester(example("later"))
        assert.strictEqual(read("answer.md"), "Output:\n\nbuild 19 is done\n")

        write("request.md", `Please test. ${bashScript("echo all tests pass")}`)
        const senders = yield* byTester(example("fan-out"))
        assert.deepStrictEqual(senders.trim().split("\n").toSorted(), [builder.id, checker.id].toSorted())
        const replies = read("replies.jsonl").trim().split("\n")
        assert.lengthOf(replies, 2)
        for (const reply of replies) assert.match(reply, /"status":"verified".*"body":"Output:\\n\\nall tests pass"/)

        // The builder hands on what came with its mail, and answers with what the deployer said.
        const deploy = bashScript("km-recv --id \"$KM_MAIL_ID\" --save-attachments got > mail; cat got/build.txt")
        const work = `printf %s 'Deploy it. ${deploy}' > request.md\n${example("hand-on")}`
        write("build.txt", "build 42 is deployed\n")
        write("request.md", bashScript(work))
        const handed = yield* byTester(
          "km-send --to builder --subject release --attach build.txt --body request.md --wait-reply 300"
        )
        assert.match(handed, /build 42 is deployed/)

        assert.deepStrictEqual([...run].toSorted(), [...examples.keys()].toSorted(), "an example that is not run")
      })
  )
})
