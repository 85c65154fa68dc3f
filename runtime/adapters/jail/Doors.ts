/**
 * The ways out of a jail without a network: addresses on its own loopback whose listening sockets its first program
 * (`entrypoint/main.ts`) hands to the runtime. Each jail has its own set, so the listener by which a connection came names
 * the run; no program inside can reach that of another.
 */
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ChildProcess } from "node:child_process"
import { Server, type Socket } from "node:net"

/** The runtime's own, the same in every sandbox, below the range from which systems take ports by themselves. */
export const doorPorts = { model: 4701, hooks: 4702 } as const

/** As the agent sees it, without a slash at the end. */
export const doorOrigin = (name: keyof typeof doorPorts): string => `http://127.0.0.1:${doorPorts[name]}`

export interface Door {
  readonly name: string
  /** On the jail's loopback. */
  readonly port: number
  /** Serves what is connected inside until the scope closes. Before that nothing of the agent runs. */
  readonly attach: (listener: Server) => Effect.Effect<void, never, Scope.Scope>
}

/** What runs the first program: an engine and its script, both to be shown in the jail. */
export interface Entrypoint {
  /** Absolute path of a Node. */
  readonly engine: string
  /** Absolute path of `km-entrypoint`. */
  readonly program: string
}

/** The command in front of the agent's own. */
export const withDoors = (
  { engine, program }: Entrypoint,
  doors: ReadonlyArray<Pick<Door, "name" | "port">>,
  command: ReadonlyArray<string>
): ReadonlyArray<string> => [
  engine,
  // That `process.execve` is experimental is no news to whoever reads the run's standard error.
  "--disable-warning=ExperimentalWarning",
  program,
  ...doors.map(({ name, port }) => `${name}=${port}`),
  "--",
  ...command
]

/** The jail ended, or took too long, before all doors were here. Nothing of the agent has run. */
export class DoorsNotOpened extends Data.TaggedError("DoorsNotOpened")<{ readonly detail: string }> {}

/** A Node starts within a tenth of a second, and within one where the machine is sixteen times busy. */
const patience = "30 seconds"

/** What a jail's first program hands over. */
export interface HandOver {
  /** The jail's listeners, in the order of the doors. They are closed with the scope. */
  readonly listeners: Effect.Effect<ReadonlyArray<Server>, DoorsNotOpened, Scope.Scope>
  /** Lets the first program become the agent; complete once it has said that it does, which is the last that is heard. */
  readonly begin: Effect.Effect<void, DoorsNotOpened>
}

const within = <A, R>(effect: Effect.Effect<A, DoorsNotOpened, R>): Effect.Effect<A, DoorsNotOpened, R> =>
  Effect.timeoutOrElse(effect, {
    duration: patience,
    orElse: () => Effect.fail(new DoorsNotOpened({ detail: `it took longer than ${patience}` }))
  })

/**
 * Listens to a child that was just started with an IPC channel and runs the first program; in the same turn of the event
 * loop, or what it says is lost. Anything but the doors in their order ends the hand-over.
 */
export const handOverFrom = (child: ChildProcess, doors: ReadonlyArray<Pick<Door, "name">>): HandOver => {
  const taken: Array<Server> = []
  const all = Deferred.makeUnsafe<ReadonlyArray<Server>, DoorsNotOpened>()
  const begun = Deferred.makeUnsafe<void, DoorsNotOpened>()
  const fail = (detail: string): void => {
    const failure = Effect.fail(new DoorsNotOpened({ detail }))
    Deferred.doneUnsafe(all, failure)
    Deferred.doneUnsafe(begun, failure)
  }
  const onMessage = (message: unknown, handle: unknown): void => {
    if (message === "begins" && taken.length === doors.length) {
      child.off("message", onMessage)
      Deferred.doneUnsafe(begun, Effect.void)
      return
    }
    const named = typeof message === "object" && message !== null && "door" in message ? message.door : undefined
    if (!(handle instanceof Server) || named !== doors[taken.length]?.name) {
      if (handle instanceof Server) handle.close()
      return fail("the jail's first program said something unknown")
    }
    taken.push(handle)
    if (taken.length === doors.length) Deferred.doneUnsafe(all, Effect.succeed(taken))
  }
  child.on("message", onMessage)
  child.once("error", (error) => fail(error.message))
  child.once("exit", (code, signal) => fail(`the jail ended first (${signal ?? `exit code ${code}`})`))
  child.once("disconnect", () => fail("the jail's first program hung up"))
  return {
    listeners: Effect.andThen(
      Effect.addFinalizer(() => Effect.sync(() => taken.forEach((server) => void server.close()))),
      within(Deferred.await(all))
    ),
    begin: within(Effect.andThen(
      Effect.sync(() => child.send("taken", (error) => error === null ? undefined : fail(error.message))),
      Deferred.await(begun)
    ))
  }
}

/** Connections held at once by one door; more are closed unheard. */
const maxConnections = 128

/** Gives each connection of the listener to `serve`, and cuts those that are left when the scope closes. */
export const accept = (listener: Server, serve: (socket: Socket) => void): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const held = new Set<Socket>()
      const onConnection = (socket: Socket) => {
        // As Node's own HTTP server has it; or a streamed answer waits 40 ms for an acknowledgement (measured).
        socket.setNoDelay(true)
        held.add(socket)
        socket.once("close", () => held.delete(socket))
        serve(socket)
      }
      listener.maxConnections = maxConnections
      listener.on("connection", onConnection)
      return { held, onConnection }
    }),
    ({ held, onConnection }) =>
      Effect.sync(() => {
        listener.off("connection", onConnection)
        listener.close()
        for (const socket of held) socket.destroy()
      })
  ).pipe(Effect.asVoid)
