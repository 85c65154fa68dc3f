/**
 * Bundles the executables into `dist/`. ESM with code splitting: `km --help` reads the command tree and nothing else, and
 * what the programs share is on disk once.
 */
import { build } from "esbuild"
import { execFileSync } from "node:child_process"
import { chmodSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { programSettings, withRequire } from "./bundleSettings.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const dist = path.join(root, "dist")

/** Output name → source. `km` itself is the few lines of `kmEntry`. */
const programs = {
  "chunks/km-main": "km-cli/main.ts",
  "km-runtime": "runtime/main.ts",
  "km-smtp": "runtime/adapters/smtp/main.ts",
  "km-hook": "hooks/main.ts",
  "km-bridge": "bridge/main.ts"
}

rmSync(dist, { recursive: true, force: true })
await build({
  ...programSettings,
  entryPoints: Object.fromEntries(Object.entries(programs).map(([name, file]) => [name, path.join(root, file)])),
  outdir: dist,
  absWorkingDir: root
})

/**
 * The agent's programs: a file each, because the jail shows them to the agent one by one. CommonJS, because an agent waits
 * for them, and Node starts that 5 ms sooner than a module that imports the same parts of Node.
 */
const alone = { "km-send": "plugins/email/send/main.ts", "km-recv": "plugins/email/recv/main.ts" }
await build({
  entryPoints: Object.fromEntries(Object.entries(alone).map(([name, file]) => [name, path.join(root, file)])),
  outdir: dist,
  outExtension: { ".js": ".cjs" },
  bundle: true,
  format: "cjs",
  platform: "node",
  target: "node24",
  minify: true,
  legalComments: "none",
  logLevel: "warning",
  absWorkingDir: root
})

/** Anything that lets a test reach into a running program; none may be in what people run. */
const forbidden = [/KM_FAILPOINT/, /KM_TEST_/, /failpoint/i, /test\/support/]

const files = readdirSync(dist, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
for (const entry of files) {
  const file = path.join(entry.parentPath, entry.name)
  const text = readFileSync(file, "utf8")
  if (withRequire(text) !== text) writeFileSync(file, withRequire(text))
  const found = forbidden.find((pattern) => pattern.test(text))
  if (found !== undefined) {
    process.stderr.write(`${path.relative(root, file)} holds ${String(found)}: a test hook must not be bundled\n`)
    process.exitCode = 1
  }
}

/**
 * `km` is started by hand and by shells that complete, so its start counts: V8's compiled code is kept beside the bundle
 * (and silently not, where that directory may not be written). It is also what a person starts with the wrong Node: the
 * check comes before anything that an old one cannot load.
 */
const kmEntry = `#!/usr/bin/env node
if(Number(process.versions.node.split(".")[0])<24){process.stderr.write("km needs Node 24 or newer, this is "+process.version+".\\n  next: run it with the one that make setup brings: node_modules/.bin/node dist/km.mjs\\n");process.exit(1)}
const{enableCompileCache}=await import("node:module"),{fileURLToPath}=await import("node:url");
enableCompileCache(fileURLToPath(new URL("./cache",import.meta.url)));await import("./chunks/km-main.mjs");
`
writeFileSync(path.join(dist, "km.mjs"), kmEntry)
// The first run fills the cache.
execFileSync(process.execPath, [path.join(dist, "km.mjs"), "--help"], { stdio: "ignore" })

const started = ["km.mjs", "km-runtime.mjs", "km-smtp.mjs", "km-hook.mjs", "km-send.cjs", "km-recv.cjs", "km-bridge.mjs"]
for (const name of started) {
  const file = path.join(dist, name)
  chmodSync(file, 0o755)
  process.stdout.write(`dist/${name}  ${(statSync(file).size / 1024).toFixed(0)} KiB\n`)
}
const total = files.reduce((sum, entry) => sum + statSync(path.join(entry.parentPath, entry.name)).size, 0)
process.stdout.write(`${files.length} files, ${(total / 1024).toFixed(0)} KiB in all\n`)
