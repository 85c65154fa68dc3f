/**
 * Runs in each test's process before the test file is loaded: defines the switch that the instrumented files ask, and
 * hands back which mutants were visited.
 */
import { afterAll, inject } from "vitest"
import { switchName } from "./instrument.ts"

declare module "vitest" {
  interface ProvidedContext {
    /** The active mutant's number; −1 for none. */
    readonly mutant: number
    /** Visits of the active mutant at which a run counts as one that does not end. */
    readonly visitLimit: number
  }
  interface TaskMeta {
    /** Visits by mutant number. */
    visits?: Record<number, number>
  }
}

const active = inject("mutant")
const visitLimit = inject("visitLimit")
const visits: Record<number, number> = {}

Object.defineProperty(globalThis, switchName, {
  value: (number: number): boolean => {
    const count = (visits[number] ?? 0) + 1
    visits[number] = count
    if (number !== active) return false
    // A loop that a mutant made endless goes through its switch: ends it without waiting for the deadline.
    if (count > visitLimit) throw new Error("the mutant's place was visited too often")
    return true
  }
})

// Vitest reads which fixtures a hook wants from the pattern of its first argument: none.
// oxlint-disable-next-line no-empty-pattern
afterAll(({}, suite) => {
  suite.meta.visits = visits
})
