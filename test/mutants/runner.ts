/**
 * A child of `main.ts` that keeps one Vitest alive and runs one test file after the other, each in a fresh process, with
 * a mutant switched on or none. Vitest's start and its transformed modules are paid for once.
 */
import * as path from "node:path"
import { createVitest } from "vitest/node"
import { root } from "./areas.ts"
import type { Numbered } from "./instrument.ts"
import { instrument } from "./instrument.ts"

/** What the parent sends. */
export type Request =
  | { readonly _tag: "Mutate"; readonly mutants: ReadonlyArray<Numbered> }
  | { readonly _tag: "Run"; readonly file: string; readonly mutant: number; readonly visitLimit: number }

/** What the parent is told. */
export type Reply =
  | { readonly _tag: "Ready" }
  | {
    readonly _tag: "Ran"
    readonly passed: boolean
    /** The first failure, cut. */
    readonly failure: string | undefined
    /** Visits by mutant number; empty where the file was not loaded to its end. */
    readonly visits: Readonly<Record<number, number>>
    readonly milliseconds: number
  }

const reply = (message: Reply): void => {
  process.send?.(message)
}

const start = async (mutants: ReadonlyArray<Numbered>) => {
  const byFile = Map.groupBy(mutants, (mutant) => path.join(root, mutant.file))
  const vitest = await createVitest("test", {
    root,
    watch: false,
    bail: 1,
    maxWorkers: 1,
    fileParallelism: false,
    reporters: [{}],
    silent: true,
    setupFiles: [path.join(import.meta.dirname, "setup.ts")],
    // A copy from an earlier run would hold other switches.
    fsModuleCache: false
  }, {
    logLevel: "error",
    plugins: [{
      name: "km-mutants",
      enforce: "pre",
      transform: (code: string, id: string) => {
        const own = byFile.get(id)
        return own === undefined ? undefined : { code: instrument(code, own), map: null }
      }
    }]
  })
  await vitest.standalone()
  return vitest
}

let vitest: Awaited<ReturnType<typeof start>> | undefined

const run = async (request: Request): Promise<void> => {
  if (request._tag === "Mutate") {
    vitest = await start(request.mutants)
    reply({ _tag: "Ready" })
    return
  }
  if (vitest === undefined) throw new Error("asked to run before the mutants were named")
  const project = vitest.getRootProject()
  project.provide("mutant", request.mutant)
  project.provide("visitLimit", request.visitLimit)
  const begun = performance.now()
  const moduleId = path.join(root, request.file)
  const result = await vitest.runTestSpecifications([project.createSpecification(moduleId)])
  const milliseconds = performance.now() - begun
  // Vitest's answer holds the modules of earlier runs too.
  const module = result.testModules.find((each) => each.moduleId === moduleId)
  const failed = module === undefined ? undefined : [...module.children.allTests("failed")][0]
  const error = failed?.result().errors?.[0] ?? module?.errors()[0] ?? result.unhandledErrors[0]
  const message = typeof error === "object" && error !== null && "message" in error ? String(error.message) : undefined
  reply({
    _tag: "Ran",
    passed: module !== undefined && module.ok() && result.unhandledErrors.length === 0,
    failure: failed === undefined ? message : `${failed.fullName}: ${message ?? ""}`.slice(0, 1_000),
    visits: module?.meta().visits ?? {},
    milliseconds
  })
}

process.on("message", (message) => {
  // From our own parent, over the channel that `fork` made.
  run(message as Request).catch((error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
    process.exit(1)
  })
})
process.on("disconnect", () => process.exit(0))
