/** A shell of a sandbox's own, on a terminal as a person has it (`km shell NAME -- bash`), which runs what a test writes. */
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { kmProgram } from "./KmProcess.ts"
import { onTerminal } from "./terminal.ts"

const node = fs.realpathSync(process.execPath)

export interface Step {
  readonly code: number
  /** Both outputs, as they came. */
  readonly said: string
}

export const jailShell = Effect.fnUntraced(function*(
  state: string,
  { id, workspace }: { readonly id: string; readonly workspace: string }
) {
  const terminal = yield* onTerminal([node, kmProgram, "shell", id, "--", "bash", "--norc", "--noprofile"], {
    env: { PATH: process.env["PATH"] ?? "", HOME: state, KM_STATE: state }
  })
  let steps = 0
  return {
    terminal,
    /** To its end, in the agent's directory. */
    run: Effect.fnUntraced(function*(script: string) {
      steps += 1
      const file = (end: string) => path.join(workspace, `step${steps}.${end}`)
      fs.writeFileSync(file("sh"), script)
      // The echo of what is typed is not what is waited for.
      yield* terminal.type(`bash step${steps}.sh > step${steps}.txt 2>&1; echo "step"${steps} ends $?\r`)
      const pattern = new RegExp(`step${steps} ends (\\d+)`)
      yield* terminal.until(pattern)
      const [, code = "-1"] = pattern.exec(terminal.shown()) ?? []
      const step: Step = { code: Number(code), said: fs.readFileSync(file("txt"), "utf8") }
      return step
    })
  }
})
