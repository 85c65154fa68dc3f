/**
 * A child of `main.ts` that runs one test file after the other, with a mutant switched on or none. Each run loads the
 * project's modules anew, libraries stay: so nothing that a mutant left in a module reaches the next run, and no process is
 * paid for. What is left in the process itself ends with it, after `runsPerRunner` runs.
 */
import { readFileSync } from "node:fs"
import { registerHooks, stripTypeScriptTypes } from "node:module"
import * as path from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { root } from "./areas.ts"
import type { Numbered } from "./instrument.ts"
import { instrument, switchName } from "./instrument.ts"
import { takeTests } from "./testApi.ts"

/** What the parent sends. */
export type Request =
  | { readonly _tag: "Mutate"; readonly mutants: ReadonlyArray<Numbered> }
  /** `visitLimit`: visits of the active mutant at which a run counts as one that does not end. */
  | { readonly _tag: "Run"; readonly file: string; readonly mutant: number; readonly visitLimit: number }

/** What the parent is told. */
export type Reply =
  | { readonly _tag: "Ready" }
  | {
    readonly _tag: "Ran"
    readonly passed: boolean
    /** The first failure, cut. */
    readonly failure: string | undefined
    /** Visits by mutant number, as far as the run came. */
    readonly visits: Readonly<Record<number, number>>
    readonly milliseconds: number
  }

let byFile: ReadonlyMap<string, ReadonlyArray<Numbered>> = new Map()
let active = -1
let visitLimit = 0
let visits: Record<number, number> = {}
let generation = 0
let outside: unknown

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

const own = pathToFileURL(`${root}${path.sep}`).href.replace(/\/+$/, "/")
const testApi = new URL("testApi.ts", import.meta.url).href
const sources = new Map<string, string>()

registerHooks({
  resolve: (specifier, context, next) => {
    if (specifier === "@effect/vitest") return { url: testApi, shortCircuit: true }
    const found = next(specifier, context)
    const isOurs = found.url.startsWith(own) && found.url.endsWith(".ts") && !found.url.includes("/node_modules/")
      && !found.url.startsWith(`${own}test/mutants/`)
    return isOurs ? { ...found, url: `${found.url}?run=${generation}` } : found
  },
  load: (url, context, next) => {
    const [bare = "", run] = url.split("?run=")
    if (run === undefined) return next(url, context)
    const file = fileURLToPath(bare)
    let source = sources.get(file)
    if (source === undefined) {
      const text = readFileSync(file, "utf8")
      const mutants = byFile.get(file)
      source = stripTypeScriptTypes(mutants === undefined ? text : instrument(text, mutants))
      sources.set(file, source)
    }
    return { format: "module", source, shortCircuit: true }
  }
})

// Logs of tests, of which nobody reads thousands.
process.stdout.write = () => true
for (const event of ["unhandledRejection", "uncaughtException"]) {
  process.on(event, (error: unknown) => {
    outside ??= error
  })
}

const told = (error: unknown): string => error instanceof Error ? error.message : String(error)

/** The first failure of a file's tests. */
const failureOf = async (file: string): Promise<string | undefined> => {
  await import(`${pathToFileURL(path.join(root, file)).href}?run=${generation}`)
  const tests = takeTests()
  if (tests.length === 0) return "it has no tests"
  for (const { name, run } of tests) {
    const finalizers: Array<() => unknown> = []
    try {
      const { signal } = new AbortController()
      await run({ signal, onTestFinished: (finalizer) => void finalizers.push(finalizer) })
      if (outside !== undefined) throw outside
    } catch (error) {
      return `${name}: ${told(error)}`
    } finally {
      for (const finalizer of finalizers) await finalizer()
    }
  }
  return undefined
}

const run = async (request: Extract<Request, { _tag: "Run" }>): Promise<Reply> => {
  active = request.mutant
  visitLimit = request.visitLimit
  visits = {}
  outside = undefined
  generation++
  takeTests()
  const begun = performance.now()
  const failure = await failureOf(request.file).catch(told)
  return {
    _tag: "Ran",
    passed: failure === undefined,
    failure: failure?.slice(0, 1_000),
    visits,
    milliseconds: performance.now() - begun
  }
}

process.on("message", (message) => {
  // From our own parent, over the channel that `fork` made.
  const request = message as Request
  if (request._tag === "Mutate") {
    byFile = Map.groupBy(request.mutants, (mutant) => path.join(root, mutant.file))
    process.send?.({ _tag: "Ready" } satisfies Reply)
  } else void run(request).then((reply) => process.send?.(reply))
})
process.on("disconnect", () => process.exit(0))
