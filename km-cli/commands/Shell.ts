/**
 * `km shell`: the sandbox's agent on this terminal. The session is the runtime's, in the jail that a turn has; what is typed
 * here and what is shown there goes through a socket of the sandbox's own directory.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { spawn } from "node:child_process"
import { connect, type Socket } from "node:net"
import * as path from "node:path"
import process from "node:process"
import { SessionId } from "../../runtime/domain/sandbox/Ids.ts"
import {
  encodeFrame,
  FrameReader,
  type FromRuntime,
  messageFrame,
  readFromRuntime,
  type TerminalSize,
  terminalSocket
} from "../../runtime/domain/sandbox/TerminalProtocol.ts"
import { foreignLine } from "../../runtime/domain/text/ForeignText.ts"
import { kmError } from "../KmError.ts"
import { opened } from "../Opened.ts"
import { data, talk } from "../Output.ts"
import { resolve } from "../Reference.ts"

const decodeSession = Schema.decodeUnknownOption(SessionId)

export interface ShellInput {
  readonly reference: string
  readonly resume: Option.Option<string>
  readonly command: ReadonlyArray<string>
}

/** Undoes what a program does to a terminal that it had no time to leave: screen, cursor, mouse, paste, keys, colours. */
const asBefore = "\x1b[?1049l\x1b[?25h\x1b[?1000;1002;1003;1004;1006;2004l\x1b[<u\x1b[>4m\x1b[0m\r\n"

const sizeOf = ({ columns, rows }: NodeJS.WriteStream): TerminalSize => ({
  columns: Math.min(Math.max(columns, 1), 10_000),
  rows: Math.min(Math.max(rows, 1), 10_000)
})

const connected = (place: string) =>
  Effect.acquireRelease(
    Effect.callback<Socket, ReturnType<typeof kmError>>((resume) => {
      const socket = connect(place)
      socket.once("connect", () => resume(Effect.succeed(socket)))
      socket.once("error", (error) => resume(Effect.fail(kmError("KM-CLI-051", "nobody answers there", error.message))))
    }),
    (socket) => Effect.sync(() => void socket.destroy())
  )

/** What `stty` says; empty when there is none, or the terminal has gone. */
const stty = (args: ReadonlyArray<string>) =>
  Effect.callback<string>((resume) => {
    const child = spawn("stty", args, { stdio: [process.stdin, "pipe", "ignore"] })
    let said = ""
    child.stdout.on("data", (part: Buffer) => said += part.toString("latin1"))
    child.once("error", () => resume(Effect.succeed("")))
    child.once("close", () => resume(Effect.succeed(said.trim())))
  })

/**
 * Every key goes to the program, Ctrl-C too, and what the program writes is shown as it is; the terminal is as it was when
 * the scope closes. By `stty`, because Node's own raw mode still turns each line feed into two characters.
 */
const rawTerminal = Effect.acquireRelease(
  Effect.gen(function*() {
    const before = yield* stty(["-g"])
    yield* stty(["raw", "-echo"])
    process.stdin.resume()
    return before
  }),
  (before) => Effect.andThen(Effect.sync(() => void process.stdin.pause()), stty(before === "" ? ["sane"] : [before]))
)

/** Characters of what a session is told, a line; longer than any that a runtime says. */
const longestLine = 1_100

type End = Extract<FromRuntime, { says: "ended" | "refused" }> | { readonly says: "lost" }

/** Passes both ways until the runtime says how it ended, or nobody is there any more. */
const relayed = (socket: Socket, onBegan: (session: SessionId) => void) =>
  Effect.callback<End>((resume) => {
    const reader = new FrameReader()
    const typed = (chunk: Buffer) => {
      if (!socket.write(encodeFrame({ kind: "bytes", payload: chunk }))) {
        process.stdin.pause()
        socket.once("drain", () => process.stdin.resume())
      }
    }
    const resized = () => void socket.write(messageFrame({ says: "size", ...sizeOf(process.stdout) }))
    const done = (end: End) => {
      process.stdin.off("data", typed)
      process.stdout.off("resize", resized)
      resume(Effect.succeed(end))
    }
    process.stdin.on("data", typed)
    process.stdout.on("resize", resized)
    socket.on("data", (chunk: Buffer) => {
      for (const frame of reader.push(chunk) ?? []) {
        if (frame.kind === "bytes") {
          if (!process.stdout.write(frame.payload)) {
            socket.pause()
            process.stdout.once("drain", () => socket.resume())
          }
          continue
        }
        const message = Option.getOrUndefined(readFromRuntime(frame))
        if (message?.says === "began") {
          for (const line of message.told ?? []) process.stdout.write(`${foreignLine(line, longestLine)}\r\n`)
          onBegan(message.session)
        } else if (message !== undefined) done(message)
      }
    })
    socket.on("error", () => undefined)
    socket.once("close", () => done({ says: "lost" }))
    return Effect.sync(() => done({ says: "lost" }))
  })

export const shell = Effect.fn("km.shell")(function*(input: ShellInput) {
  if (process.stdin.isTTY !== true || process.stdout.isTTY !== true) {
    return yield* kmError("KM-CLI-001", "an interactive session needs a terminal", "", "km chat --help")
  }
  const resume = Option.map(input.resume, decodeSession)
  if (Option.isSome(resume) && Option.isNone(resume.value)) {
    return yield* kmError("KM-CLI-001", "--resume takes the id of a session", "", `km slack threads ${input.reference}`)
  }
  const { backend } = yield* opened
  yield* backend.install
  const row = yield* Effect.provide(resolve(input.reference), backend.ports("short"))
  const name = row.alias ?? row.id
  const { end, session } = yield* Effect.scoped(Effect.gen(function*() {
    const socket = yield* connected(path.join(backend.paths.sandboxes, row.id, "run", terminalSocket))
    socket.write(messageFrame({
      says: "open",
      ...sizeOf(process.stdout),
      terminal: /^[A-Za-z0-9][A-Za-z0-9.+-]{0,63}$/.exec(process.env["TERM"] ?? "")?.[0] ?? "xterm-256color",
      command: input.command,
      ...Option.match(Option.flatten(resume), { onNone: () => ({}), onSome: (id) => ({ resume: id }) })
    }))
    yield* rawTerminal
    let begun: SessionId | undefined
    const how = yield* relayed(socket, (id) => begun = id)
    if (begun !== undefined && !(how.says === "ended" && how.by === "itself")) process.stdout.write(asBefore)
    return { end: how, session: begun }
  }))
  if (end.says === "refused") {
    return yield* kmError("KM-CLI-052", "the session was not begun", `${end.code}: ${end.reason}`, end.remedy)
  }
  if (session === undefined) return yield* kmError("KM-CLI-051", "the runtime hung up before the session began", "")
  const again = `km shell ${name} --resume ${session}`
  const isAgent = input.command.length === 0
  if (end.says === "lost" || end.by === "runtime") {
    return yield* kmError(
      "KM-CLI-053",
      `the runtime of ${name} has ended, and this session with it`,
      isAgent ? "what was said until then is kept" : "",
      isAgent ? again : `km shell ${name}`
    )
  }
  if (end.exit !== 0) {
    return yield* kmError("KM-CLI-054", `the program ended with exit code ${end.exit}`, "", isAgent ? again : "")
  }
  if (isAgent) yield* talk(`to continue this session: ${again}`)
  yield* data([], { session, exit: end.exit })
})
