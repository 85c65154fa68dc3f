/** Where the programs and profiles of this distribution are: in the source tree, or bundled in `dist/`. */
import * as fs from "node:fs"
import * as path from "node:path"
import process from "node:process"
import { fileURLToPath } from "node:url"
import type { ChildCommand } from "./Backend.ts"
import { nodeOptions } from "./NodeOptions.ts"

const here = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url))

/** True in `dist/`, false in the source tree. */
const bundled = !import.meta.url.endsWith(".ts")

/** A bundle lies in `dist/`; this module may be a chunk in a directory below it. */
const bundle = (name: string): string => fs.existsSync(here(`./${name}`)) ? here(`./${name}`) : here(`../${name}`)

const program = (name: string, source: string, ...args: ReadonlyArray<string>): ChildCommand => ({
  command: process.execPath,
  args: [...nodeOptions[path.parse(name).name] ?? [], bundled ? bundle(name) : here(source), ...args]
})

/** `km` itself, for what goes on in the background. */
export const self: ChildCommand = program("km.mjs", "./main.ts")

/** The processes that `km up` starts. */
export const children = {
  bridge: program("km-bridge.mjs", "../bridge/main.ts"),
  runtime: program("km-runtime.mjs", "../runtime/sandbox/main.ts", "--all"),
  control: program("km-control.mjs", "../runtime/control/main.ts"),
  workspace: (credentials: string) => program("km.mjs", "./main.ts", "workspace", "--credentials", credentials),
  model: program("km.mjs", "./main.ts", "model"),
  mailIn: program("km-smtp.mjs", "../runtime/adapters/smtp/main.ts", "listen"),
  mailOut: program("km-smtp.mjs", "../runtime/adapters/smtp/main.ts", "relay")
}

/** Where `make setup` puts the agent's CLI in a checkout. */
export const besideClaude: ReadonlyArray<string> = ["../node_modules/.bin/claude", "../../node_modules/.bin/claude"]
  .map(
    here
  )

/** Directory of the profiles that are shipped. */
export const profiles = (): string =>
  ["../profiles", "../../profiles"].map(here).find((directory) => fs.existsSync(directory)) ?? here("../profiles")

/** The first command after `km up`, as it can be typed in `directory`: an installed km has its profiles elsewhere. */
export const firstCreate = (directory: string = process.cwd()): string => {
  const beside = "profiles/demo.yaml"
  const file = fs.existsSync(`${directory}/${beside}`) ? beside : `${profiles()}/demo.yaml`
  return `km create ${/^[\w./-]+$/.test(file) ? file : `'${file.replaceAll("'", "'\\''")}'`} --alias demo`
}

/** What runs for a sandbox, or in its jail: its file in `dist/`. */
const sidecarFiles = {
  "km-runtime": "km-runtime.mjs",
  "km-entrypoint": "km-entrypoint.cjs",
  "km-hook": "km-hook.cjs",
  "km-send": "km-send.cjs",
  "km-recv": "km-recv.cjs"
} as const

export type SidecarName = keyof typeof sidecarFiles
export const sidecarNames = Object.keys(sidecarFiles) as ReadonlyArray<SidecarName>

/** The file of a program that sandboxes run; in a checkout what `make build` made of it. */
export const sidecarFile = (name: SidecarName): string =>
  bundled ? bundle(sidecarFiles[name]) : here(`../dist/${sidecarFiles[name]}`)

/** What `make install` wrote down of what it put where, and the prefix that its paths begin at; only in an installation. */
export const installedManifest = (): { readonly file: string; readonly prefix: string } | undefined => {
  if (!bundled) return undefined
  const file = ["../manifest.json", "../../manifest.json"].map(here).find((one) => fs.existsSync(one))
  // PREFIX/lib/km/manifest.json
  return file === undefined ? undefined : { file, prefix: path.resolve(file, "../../..") }
}
