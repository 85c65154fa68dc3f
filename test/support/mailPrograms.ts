/** `km-send` and `km-recv` as an agent runs them: by name, with the socket of its sandbox and nothing else of ours. */
import { Effect } from "effect"
import { spawn } from "node:child_process"
import * as path from "node:path"
import { sandboxPaths } from "../../runtime/adapters/disk/StateDirectory.ts"

/** Where a sandbox's runtime has its mail socket and the programs for it. */
export const mailDirectory = (directory: string): string => path.join(directory, "mail")

export interface ProgramRun {
  readonly exit: number | null
  readonly out: Buffer
  readonly err: string
}

/** `directory` is the sandbox's own; so is the socket, unless another one is given. */
export const mailProgram = (
  directory: string,
  name: "km-send" | "km-recv",
  args: ReadonlyArray<string>,
  input = "",
  socket = path.join(mailDirectory(directory), "mail.sock")
): Effect.Effect<ProgramRun> =>
  Effect.callback((resume) => {
    const { workspace } = sandboxPaths(directory)
    const mail = mailDirectory(directory)
    const child = spawn(path.join(mail, name), args, {
      cwd: workspace,
      env: { PATH: "/usr/bin:/bin", KM_MAIL_SOCKET: socket },
      stdio: ["pipe", "pipe", "pipe"]
    })
    const out: Array<Buffer> = []
    let err = ""
    child.stdout.on("data", (chunk: Buffer) => out.push(chunk))
    child.stderr.on("data", (chunk: Buffer) => err += chunk.toString())
    child.once("close", (exit) => resume(Effect.succeed({ exit, out: Buffer.concat(out), err })))
    child.stdin.end(input)
    return Effect.sync(() => void child.kill("SIGKILL"))
  })

/** The same with a reader of one stream that has gone before anything is printed. */
export const unread = (
  directory: string,
  name: "km-send" | "km-recv",
  args: ReadonlyArray<string>,
  stream: "stdout" | "stderr" = "stdout"
) =>
  Effect.callback<Pick<ProgramRun, "exit" | "err">>((resume) => {
    const { workspace } = sandboxPaths(directory)
    const mail = mailDirectory(directory)
    const gone = stream === "stdout" ? "" : "2>&1 >/dev/null"
    const line = `"$0" "$@" ${gone} | :; exit \${PIPESTATUS[0]}`
    const child = spawn("bash", ["-c", line, path.join(mail, name), ...args], {
      cwd: workspace,
      env: { PATH: "/usr/bin:/bin", KM_MAIL_SOCKET: path.join(mail, "mail.sock") },
      stdio: ["ignore", "ignore", "pipe"]
    })
    let err = ""
    child.stderr.on("data", (chunk: Buffer) => err += chunk.toString())
    child.once("close", (exit) => resume(Effect.succeed({ exit, err })))
    return Effect.sync(() => void child.kill("SIGKILL"))
  })
