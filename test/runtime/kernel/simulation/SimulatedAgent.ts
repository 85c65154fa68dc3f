/** An agent written to the promises of the `Agent` port, playing each message's acts on the virtual clock. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { AgentOutcome } from "../../../../runtime/domain/turn/Turn.ts"
import { Agent, AgentEvent, AgentNotStarted, type AgentRun } from "../../../../runtime/ports/Agent.ts"
import { type Act, gate, type Incarnation, type Run, type World } from "./World.ts"

/** Milliseconds from the start of the process until the conversation holds the message. */
export const untilReceived = 100

export const answerOf = (key: string): string => `the answer to ${key}`

const actOf = (world: World, run: AgentRun): Act => {
  const acts = world.messages.find(({ request }) => run.turn.startsWith(request.key))?.acts ?? []
  return acts[Math.min(run.attempt, acts.length) - 1] ?? { do: "answer", after: 1_000 }
}

const exit = (run: Run, result: AgentOutcome | undefined) => {
  if (!run.alive) return
  run.alive = false
  run.result = result
  Deferred.doneUnsafe(run.exited, Effect.void)
}

export const layer = (world: World, incarnation: Incarnation, options: { readonly tellsReceived: boolean }) =>
  Layer.sync(Agent, () => {
    const through = gate(world, incarnation)

    /** The process itself: lives on the world's time, whoever watches it. */
    const live = Effect.fnUntraced(function*(asked: AgentRun, run: Run, act: Act) {
      if (act.do === "stillborn") return exit(run, undefined)
      if (act.do === "lose-session") return exit(run, AgentOutcome.cases.SessionLost.make({}))
      if (asked.mode === "resume" && !world.sessions.has(run.session)) {
        return exit(run, AgentOutcome.cases.SessionLost.make({}))
      }
      yield* Effect.sleep(untilReceived)
      if (!run.alive) return
      const conversation = world.sessions.get(run.session) ?? []
      // The CLI swallows a message that it has seen: no result comes.
      if (conversation.some(({ uuid }) => uuid === asked.messageUuid)) return exit(run, undefined)
      conversation.push({ uuid: asked.messageUuid, turn: asked.turn, prompt: asked.prompt })
      world.sessions.set(run.session, conversation)
      if (act.do === "hang" || act.do === "stubborn" || act.do === "refuse") return
      yield* Effect.sleep(act.after)
      if (!run.alive) return
      switch (act.do) {
        case "answer":
          return exit(run, AgentOutcome.cases.Answered.make({ text: answerOf(asked.turn) }))
        case "fail":
          return exit(
            run,
            AgentOutcome.cases.Failed.make({ code: "KM-AGT-401", reason: "The key is not valid", remedy: "Set a key" })
          )
        case "die":
          return exit(run, undefined)
      }
    })

    return Agent.of({
      start: (asked) =>
        through(
          `agent.start ${asked.turn} ${asked.attempt} ${asked.mode}`,
          Effect.gen(function*() {
            const row = world.ledger.rows.get(asked.turn)
            if (row?.state !== "starting" || row.attempt !== asked.attempt) {
              world.violations.push(`agent ${asked.turn}/${asked.attempt} started on a row that is ${row?.state}`)
            }
            if (!world.directories.has(asked.runDir)) world.violations.push(`no run directory for ${asked.turn}`)
            if ([...world.runs.values()].some((run) => run.alive && run.session === asked.session)) {
              world.violations.push(`two writers in session ${asked.session}`)
            }
            if (asked.mode === "fresh" && world.sessions.has(asked.session)) {
              world.violations.push(`session ${asked.session} is already in use`)
            }
            const act = actOf(world, asked)
            if (act.do === "refuse") {
              return yield* new AgentNotStarted({ code: "KM-AGT-001", reason: "No agent", remedy: "Install it" })
            }
            const group = row?.request.group ?? world.messages[0]?.request.group
            if (group === undefined) return yield* Effect.die("no group")
            const run: Run = {
              turn: asked.turn,
              group,
              attempt: asked.attempt,
              session: asked.session,
              runtime: incarnation.number,
              alive: true,
              result: undefined,
              exited: Deferred.makeUnsafe()
            }
            world.runs.set(asked.runDir, run)
            yield* Effect.addFinalizer(() =>
              Effect.sync(() => {
                if (!incarnation.dead) exit(run, undefined)
              })
            )
            yield* Effect.forkDetach(live(asked, run, act))
            const end = (outcome: AgentOutcome) =>
              Effect.suspend(() => act.do === "stubborn" ? Effect.never : Effect.sync(() => exit(run, outcome)))
            return {
              mark: { pid: 1_000 + world.runs.size, startTime: "1", bootId: "boot" },
              events: Stream.concat(
                Stream.fromEffect(
                  Effect.as(
                    Effect.sleep(untilReceived * 2),
                    AgentEvent.Text({ ordinal: 0, text: "Looking into it." })
                  )
                ),
                Stream.unwrap(Effect.as(
                  Deferred.await(run.exited),
                  Stream.suspend(() =>
                    run.result?._tag === "Answered"
                      ? Stream.make(AgentEvent.Text({ ordinal: 1, text: run.result.text }))
                      : Stream.empty
                  )
                ))
              ).pipe(Stream.interruptWhen(Effect.andThen(Deferred.await(run.exited), Effect.sleep(1_000)))),
              outcome: Effect.andThen(
                Deferred.await(run.exited),
                Effect.sync(() => run.result ?? AgentOutcome.cases.Crashed.make({ detail: "no result line" }))
              ),
              costUsd: Effect.succeed(0.25),
              interrupt: (by) =>
                through(`agent.interrupt ${asked.turn}`, end(AgentOutcome.cases.Cancelled.make({ by }))),
              timeOut: (afterMillis) =>
                through(`agent.timeOut ${asked.turn}`, end(AgentOutcome.cases.TimedOut.make({ afterMillis })))
            }
          })
        ),
      recover: ({ runDir }) =>
        through(
          `agent.recover ${runDir}`,
          Effect.sync(() => {
            const run = world.runs.get(runDir)
            if (run !== undefined) run.alive = false
            return Option.fromNullishOr(run?.result)
          })
        ),
      sessionExists: (session) => Effect.sync(() => world.sessions.has(session)),
      ...(options.tellsReceived
        ? {
          messageReceived: ({ messageUuid, session }) =>
            Effect.sync(() => world.sessions.get(session)?.some(({ uuid }) => uuid === messageUuid) ?? false)
        }
        : {}),
      confinement: Effect.succeed({ confined: true, detail: "simulated" })
    })
  })
