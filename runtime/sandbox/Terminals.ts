/**
 * Interactive sessions: whoever may connect to the sandbox's own socket, which is the user that runs km, gets an agent on a
 * terminal. The session is this process's, as a turn is: it ends with it, and with the connection.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import { createServer, type Socket } from "node:net"
import * as path from "node:path"
import { agentErrors } from "../adapters/claude/ErrorCodes.ts"
import { notStarted } from "../adapters/claude/Spawn.ts"
import { SessionId } from "../domain/sandbox/Ids.ts"
import {
  encodeFrame,
  type Frame,
  FrameReader,
  type FromOperator,
  type FromRuntime,
  maxFrameBytes,
  messageFrame,
  readFromOperator,
  terminalSocket
} from "../domain/sandbox/TerminalProtocol.ts"
import { sessionFrame } from "../kernel/turns/Prompt.ts"
import { TurnParties } from "../kernel/turns/TurnParties.ts"
import { Agent, type TerminalProcess } from "../ports/Agent.ts"
import { Audit } from "../ports/Audit.ts"
import { SandboxInfo } from "../ports/SandboxInfo.ts"

class SocketNotMade extends Schema.TaggedError<SocketNotMade>()("SocketNotMade", { cause: Schema.Defect() }) {}

/** Sessions at once; a connection more is closed unheard. */
const maxSessions = 16

/** From the connection to what is wanted of it. */
const openWithin = "10 seconds"

/** For what the program wrote last to come out of the pipe. */
const lastWordsWithin = "2 seconds"

const prefix = "terminal-"
const decodeSession = Schema.decodeUnknownOption(SessionId)

/** The operator's end of a session. */
const linkOf = (socket: Socket) => {
  const reader = new FrameReader()
  const gone = Deferred.makeUnsafe<void>()
  const opened = Deferred.makeUnsafe<Extract<FromOperator, { says: "open" }>>()
  /** What was typed, or how the window changed, while the session was being made. */
  const early: Array<Frame> = []
  let onFrame = (frame: Frame): void => {
    if (Deferred.isDoneUnsafe(opened)) {
      early.push(frame)
      return void socket.pause()
    }
    const message = Option.getOrUndefined(frame.kind === "message" ? readFromOperator(frame) : Option.none())
    if (message?.says === "open") Deferred.doneUnsafe(opened, Effect.succeed(message))
    else socket.destroy()
  }
  socket.on("error", () => undefined)
  socket.once("close", () => Deferred.doneUnsafe(gone, Effect.void))
  socket.on("data", (chunk: Buffer) => {
    const frames = reader.push(chunk)
    if (frames === undefined) return void socket.destroy()
    for (const frame of frames) onFrame(frame)
  })
  return {
    opened: Deferred.await(opened),
    /** The operator has hung up. */
    gone: Deferred.await(gone),
    say: (message: FromRuntime): Effect.Effect<void> => Effect.sync(() => void socket.write(messageFrame(message))),
    end: Effect.callback<void>((resume) => {
      socket.end(() => resume(Effect.void))
      if (socket.destroyed) resume(Effect.void)
    }),
    /** Passes on what is typed and what is shown, each no faster than the other side takes it. */
    join: ({ input, output }: TerminalProcess, resized: (size: Extract<FromOperator, { says: "size" }>) => void) => {
      onFrame = (frame) => {
        if (frame.kind === "bytes") {
          if (!input.write(frame.payload)) {
            socket.pause()
            input.once("drain", () => socket.resume())
          }
          return
        }
        const message = Option.getOrUndefined(readFromOperator(frame))
        if (message?.says === "size") resized(message)
      }
      socket.resume()
      for (const frame of early.splice(0)) onFrame(frame)
      output.on("data", (chunk: Buffer) => {
        for (let at = 0; at < chunk.length; at += maxFrameBytes) {
          const full = !socket.write(encodeFrame({ kind: "bytes", payload: chunk.subarray(at, at + maxFrameBytes) }))
          if (full && !socket.destroyed) {
            output.pause()
            socket.once("drain", () => output.resume())
          }
        }
      })
    }
  }
}

const removed = (directory: string) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))

export const serveTerminals = Effect.fnUntraced(function*(places: { readonly run: string; readonly runs: string }) {
  const agent = yield* Agent
  const audit = yield* Audit
  const info = yield* SandboxInfo
  const parties = yield* TurnParties
  const { interact } = agent
  if (interact === undefined) return
  const scope = yield* Effect.scope
  const runFork = Effect.runForkWith(yield* Effect.context())

  /** What a runtime that was killed left: processes without a jail, a lock, a directory. */
  const sweep = Effect.suspend(() =>
    Effect.forEach(
      fs.readdirSync(places.runs).filter((name) => name.startsWith(prefix)),
      (name) =>
        Effect.gen(function*() {
          const runDir = path.join(places.runs, name)
          const session = Option.getOrUndefined(decodeSession(name.slice(prefix.length)))
          if (session !== undefined) yield* agent.recover({ runDir, session, process: Option.none() })
          yield* removed(runDir)
        }),
      { discard: true }
    )
  )

  /** A directory that is there belongs to whoever works in the session now. */
  const directoryOf = (session: SessionId) =>
    Effect.acquireRelease(
      Effect.try({
        try: () => {
          const runDir = path.join(places.runs, `${prefix}${session}`)
          fs.mkdirSync(runDir, { mode: 0o700 })
          return runDir
        },
        catch: () => notStarted(agentErrors.sessionBusy)
      }),
      removed
    )

  const conversation = (socket: Socket) =>
    Effect.scoped(Effect.gen(function*() {
      const link = linkOf(socket)
      yield* Effect.addFinalizer(() => Effect.sync(() => void socket.destroy()))
      const wish = yield* Effect.timeoutOption(
        Effect.raceFirst(link.opened, Effect.as(link.gone, undefined)),
        openWithin
      )
      const open = Option.getOrUndefined(wish)
      if (open === undefined) return
      const session = open.resume ?? SessionId.make(randomUUID())
      const told = sessionFrame(yield* parties.sessionLines)
      const begun = Effect.gen(function*() {
        const runDir = yield* directoryOf(session)
        return yield* interact({
          session,
          mode: open.resume === undefined ? "fresh" : "resume",
          runDir,
          command: open.command,
          told,
          terminal: open.terminal,
          size: open,
          contributions: yield* parties.contributions
        })
      }).pipe(
        Effect.catchTag(
          "AgentNotStarted",
          ({ code, reason, remedy }) => Effect.as(link.say({ says: "refused", code, reason, remedy }), undefined)
        )
      )
      const process = yield* begun
      if (process === undefined) return yield* link.end
      yield* audit.note({
        actor: "operator",
        action: "session.open",
        subject: info.id,
        rule: "terminal",
        verdict: "allowed",
        detail: `session ${session}${open.command.length === 0 ? "" : "; a command of the operator's"}`
      })
      yield* link.say({ says: "began", session, told })
      link.join(process, ({ columns, rows }) => void runFork(process.resize({ columns, rows })))
      const finish = (by: "itself" | "runtime") =>
        Effect.gen(function*() {
          const exit = yield* process.ended
          if (process.output.readable) {
            yield* Effect.timeoutOption(
              Effect.callback<void>((resume) => void process.output.once("close", () => resume(Effect.void))),
              lastWordsWithin
            )
          }
          yield* link.say({ says: "ended", by, exit })
          yield* link.end
        })
      yield* Effect.raceFirst(process.ended, link.gone).pipe(
        // The runtime stops.
        Effect.onInterrupt(() => Effect.andThen(process.hangUp, finish("runtime")))
      )
      if (socket.destroyed) return yield* process.hangUp
      yield* finish("itself")
    })).pipe(
      Effect.catchCause((cause) => Effect.logWarning("an interactive session ended badly", cause))
    )

  yield* sweep
  const place = path.join(places.run, terminalSocket)
  yield* Effect.acquireRelease(
    Effect.callback<ReturnType<typeof createServer>, SocketNotMade>((resume) => {
      // Left by a runtime that was killed; the sandbox's lock makes sure that no other one listens there.
      fs.rmSync(place, { force: true })
      const server = createServer((socket) => void runFork(Effect.forkIn(conversation(socket), scope)))
      server.maxConnections = maxSessions
      const refuse = (cause: unknown) => resume(Effect.fail(new SocketNotMade({ cause })))
      server.once("error", refuse)
      try {
        server.listen(place, () => {
          fs.chmodSync(place, 0o600)
          resume(Effect.succeed(server))
        })
      } catch (cause) {
        // Deno without the permission throws here.
        refuse(cause)
      }
    }),
    (server) => Effect.sync(() => void server.close())
  )
}, Effect.catch((error) => Effect.logWarning("interactive sessions cannot be had", error)))
