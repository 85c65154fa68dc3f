/** Starters for plugins' programs in the sandbox's directory: a line of shell each, with the engine of this process. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as fs from "node:fs"
import * as path from "node:path"
import process from "node:process"
import { fileEffect, makeDirectory, writeFileAtomically } from "../adapters/disk/PrivateFiles.ts"
import { AgentPrograms } from "../ports/AgentPrograms.ts"
import { builtFile, RuntimeConfig } from "./RuntimeConfig.ts"

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`

/** `directory`: the sandbox's own. */
export const layer = (directory: string) =>
  Layer.effect(
    AgentPrograms,
    Effect.gen(function*() {
      const { hookCommand } = yield* RuntimeConfig
      // Deno is given what programs of the agent need: their sockets and the agent's own files.
      const engine = [hookCommand[0] ?? "node", ...(process.versions["deno"] === undefined ? [] : ["run", "-A"])]
      return AgentPrograms.of({
        place: (name, programs) =>
          fileEffect("AgentPrograms", "place", () => {
            const place = path.join(directory, name)
            makeDirectory(place)
            const needed = programs.map((program) => {
              const built = builtFile(`${program.name}.cjs`)
              const starter = path.join(place, program.name)
              const command = [...engine, built ?? program.source].map(quoted).join(" ")
              writeFileAtomically(starter, `#!/bin/sh\nexec ${command} "$@"\n`)
              fs.chmodSync(starter, 0o700)
              return built ?? program.folder
            })
            return { directory: place, contribution: { path: [place], readOnly: [...new Set(needed)] } }
          })
      })
    })
  )
