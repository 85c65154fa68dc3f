/**
 * `make install` and `make uninstall`: the bundles with their pinned Node below `PREFIX/lib/km`, a launcher for each
 * program in `PREFIX/bin`, and the completions where the shells look for them. `DESTDIR` goes before it all, for packages.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import process from "node:process"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { nodeOptions } from "../NodeOptions.ts"
import { type Contents, install, InstallationRefused, library, uninstall } from "./Installation.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

const say = (text: string): void => void process.stdout.write(`${text}\n`)

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

/** Starts the program on the Node that came with it, whatever `node` is on PATH. */
const launcher = (prefix: string, file: string): string =>
  `#!/bin/sh\nexec ${
    [
      path.join(prefix, library, "node"),
      ...nodeOptions[path.parse(file).name] ?? [],
      path.join(prefix, library, "dist", file)
    ].map(quoted).join(" ")
  } "$@"\n`

/** Started by the jail alone, in the jail alone. */
const unlaunched: ReadonlySet<string> = new Set(["km-entrypoint"])

/** Where each shell looks below a prefix. */
const completions = {
  bash: "share/bash-completion/completions/km",
  zsh: "share/zsh/site-functions/_km",
  fish: "share/fish/vendor_completions.d/km.fish"
}

const filesBelow = (directory: string): ReadonlyArray<string> =>
  fs.readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) =>
    path.relative(root, path.join(entry.parentPath, entry.name))
  )

/** Of a `dist/` that is built; this Node is the pinned one. */
const contentsFor = (prefix: string): Contents => {
  const contents = new Map<string, { readonly bytes: Uint8Array; readonly executable: boolean }>()
  const put = (name: string, bytes: Uint8Array | string, executable: boolean) =>
    contents.set(name, { bytes: Buffer.from(bytes), executable })
  const shipped = [
    ...filesBelow(path.join(root, "dist")),
    ...filesBelow(path.join(root, "profiles")).filter((name) => !name.endsWith(".ts")),
    "LICENSE"
  ]
  for (const file of shipped.filter((name) => !name.startsWith("dist/cache/"))) {
    const program = /^dist\/(km(?:-[a-z]+)?)\.[cm]js$/.exec(file)?.[1]
    put(`${library}/${file}`, fs.readFileSync(path.join(root, file)), program !== undefined)
    if (program !== undefined && !unlaunched.has(program)) {
      put(`bin/${program}`, launcher(prefix, path.basename(file)), true)
    }
  }
  put(`${library}/node`, fs.readFileSync(process.execPath), true)
  const [license] = fs.globSync(path.join(root, "node_modules/node/node_modules/node-*/LICENSE"))
  if (license === undefined) throw new InstallationRefused("Node's licence is missing; run `npm rebuild node`")
  put(`${library}/NODE-LICENSE.txt`, fs.readFileSync(license), false)
  for (const [shell, file] of Object.entries(completions)) {
    put(file, execFileSync(process.execPath, [path.join(root, "dist/km.mjs"), "completions", shell]), false)
  }
  return contents
}

/** What a person has to do still, if anything. */
const whatIsLeft = (prefix: string): ReadonlyArray<string> => {
  // As the shell has it: make has put the checkout's own programs before it.
  const directories = (process.env["PATH"] ?? "").split(path.delimiter).filter((directory) =>
    !directory.startsWith(root)
  )
  const bin = path.join(prefix, "bin")
  const has = (program: string) => directories.find((directory) => fs.existsSync(path.join(directory, program)))
  const first = has("km")
  return [
    ...(directories.includes(bin) ? [] : [`export PATH=${quoted(bin)}:$PATH`]),
    ...(first === undefined || first === bin ? [] : [`${first}/km comes first on PATH`]),
    ...(process.env["KM_CLAUDE"] !== undefined || has("claude") !== undefined
      ? []
      : ["npm install --global @anthropic-ai/claude-code"])
  ]
}

const { positionals: [action], values: { destdir, prefix: given } } = parseArgs({
  allowPositionals: true,
  options: {
    prefix: { type: "string", default: path.join(os.homedir(), ".local") },
    destdir: { type: "string", default: "" }
  }
})
const prefix = path.resolve(given)
const target = destdir === "" ? prefix : path.join(path.resolve(destdir), prefix)

try {
  if (action === "install") {
    install(target, contentsFor(prefix))
    say(`km is installed in ${target}`)
    if (destdir === "") { for (const line of whatIsLeft(prefix)) say(`next: ${line}`) }
  } else if (action === "uninstall") {
    for (const file of uninstall(target)) say(`${file} was changed since, so it stays`)
    say(`km is removed from ${target}`)
  } else throw new InstallationRefused("usage: install.ts install|uninstall [--prefix DIR] [--destdir DIR]")
} catch (error) {
  if (!(error instanceof Error) || !(error instanceof InstallationRefused || "code" in error)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
}
