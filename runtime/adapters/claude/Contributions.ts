/** What plugins add to one run, put together for the jail and the environment. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { AgentContribution, DoorRun } from "../../ports/Agent.ts"
import { accept, type Door } from "../jail/Doors.ts"

export interface Contributed {
  readonly env: Readonly<Record<string, string>>
  readonly path: ReadonlyArray<string>
  /** Shown at their own places. */
  readonly readOnly: ReadonlyArray<string>
  /** Shown elsewhere: from, to. */
  readonly files: ReadonlyArray<readonly [from: string, to: string]>
  readonly doors: ReadonlyArray<Door>
}

/** Names of variables, and values that a program can be given. */
const isVariable = ([name, value]: readonly [string, string]): boolean =>
  /^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(name) && !value.includes("\0")

/** Doors, and the variables that speak of them, only where the jail has doors. What is the run's own goes with the scope. */
export const contributed = Effect.fnUntraced(function*(
  contributions: ReadonlyArray<AgentContribution>,
  of: DoorRun,
  hasDoors: boolean
): Effect.fn.Return<Contributed, never, Scope.Scope> {
  const variables = yield* Effect.forEach(
    contributions,
    ({ env, runEnv }) =>
      runEnv === undefined ? Effect.succeed({ ...env }) : Effect.map(runEnv(of), (own) => ({ ...env, ...own }))
  )
  const doors = hasDoors ? contributions.flatMap((one) => one.doors ?? []) : []
  const shown = contributions.flatMap((one) => one.readOnly ?? [])
  return {
    env: Object.fromEntries(
      [...variables, ...doors.map(({ env }) => env)].flatMap(Object.entries).filter(isVariable)
    ),
    path: contributions.flatMap((one) => one.path ?? []),
    readOnly: shown.flatMap((one) => typeof one === "string" ? [one] : []),
    files: shown.flatMap((one) => typeof one === "string" ? [] : [[one.source, one.target] as const]),
    doors: doors.map(({ name, open, port }) => ({
      name,
      port,
      attach: (listener) => Effect.flatMap(open(of), (serve) => accept(listener, serve))
    }))
  }
})
