/** What the runtime reads from its environment, once. Everything about a sandbox itself is in its row. */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as fs from "node:fs"
import * as path from "node:path"
import process from "node:process"
import { fileURLToPath } from "node:url"
import { findClaude } from "../adapters/claude/findClaude.ts"
import { stateRoot } from "../adapters/disk/StateDirectory.ts"
import type { Entrypoint } from "../adapters/jail/Doors.ts"

export class RuntimeConfig extends Context.Service<RuntimeConfig, {
  /** `KM_STATE`: the state directory, absolute. */
  readonly state: string
  /** `KM_MODEL_URL`: where the model door leads. Default the Anthropic API. */
  readonly modelUrl: string
  /** `KM_MODEL_SCRIPTED`: that URL is the scripted model for trying things out; no key is sent there. */
  readonly modelScripted: boolean
  /** `KM_CLAUDE`: the Claude Code CLI. Default `claude` on the PATH, else the one installed beside this program. */
  readonly claude: string
  /** `KM_HOOK`: the `km-hook` program, a JavaScript or TypeScript file. Default the one beside this program. */
  readonly hook: string
  /** The command that runs `hook`, with this process's own engine: Node, or Deno with what the hook needs. */
  readonly hookCommand: ReadonlyArray<string>
  /** What of the file system `hookCommand` needs. */
  readonly hookFiles: ReadonlyArray<string>
  /** What opens the doors of a jail without a network. */
  readonly entrypoint: Entrypoint
}>()("km/runtime/sandbox/RuntimeConfig") {}

const below = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url))

/** A file of the build by its name, where this runs from one: all lie in `dist/`, or one level above this file there. */
export const builtFile = (name: string): string | undefined =>
  [below(`./${name}`), below(`../${name}`)].find((candidate) => fs.existsSync(candidate))

/** In the source tree this file is two levels down. */
const defaultHook = (): string => builtFile("km-hook.cjs") ?? below("../../hooks/main.ts")

const entrypoint = (): Entrypoint => ({
  engine: fs.realpathSync(process.execPath),
  program: builtFile("km-entrypoint.cjs") ?? below("../adapters/jail/entrypoint/main.ts")
})

/** In a checkout `make setup` has put the pinned one there. */
const besideClaude = [below("../node_modules/.bin/claude"), below("../../node_modules/.bin/claude")]

const commandOf = (hook: string) => {
  const engine = fs.realpathSync(process.execPath)
  return process.versions["deno"] === undefined
    ? { hookCommand: [engine, hook], hookFiles: [engine, hook] }
    : {
      hookCommand: [
        engine,
        "run",
        "--no-prompt",
        "--allow-net=127.0.0.1",
        "--allow-env=KM_HOOK_URL,KM_HOOK_TOKEN",
        hook
      ],
      // Its directory: Deno 2.9 writes `run -A …` behind its own path in the arguments of every program it starts.
      hookFiles: [path.dirname(engine), hook]
    }
}

export const layer = Layer.effect(
  RuntimeConfig,
  Effect.map(
    Effect.all({
      state: stateRoot,
      modelUrl: Config.String("KM_MODEL_URL").pipe(Config.withDefault("https://api.anthropic.com")),
      modelScripted: Config.Boolean("KM_MODEL_SCRIPTED").pipe(Config.withDefault(false)),
      claude: Config.String("KM_CLAUDE").pipe(Config.withDefault("")),
      hook: Config.String("KM_HOOK").pipe(Config.withDefault("")),
      searched: Config.String("PATH").pipe(Config.withDefault(""))
    }),
    ({ claude, hook: given, modelScripted, modelUrl, searched, state }) => {
      const hook = given === "" ? defaultHook() : path.resolve(given)
      return RuntimeConfig.of({
        state,
        modelUrl,
        modelScripted,
        claude: findClaude({ given: claude, searched, beside: besideClaude }),
        hook,
        entrypoint: entrypoint(),
        ...commandOf(hook)
      })
    }
  )
)
