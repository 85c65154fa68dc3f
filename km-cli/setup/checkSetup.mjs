/**
 * Runs on whatever Node is on PATH, before anything of ours does: says whether the programs that npm brought are the
 * ones this project was tested with, and what to do when they are not. npm 12 runs no install script that
 * `allowScripts` does not name, and a company's npm may run none at all; then a program is missing without a word.
 */
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))
const { devDependencies } = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8"))

const programs = [
  { name: "node", dependency: "node", script: "node" },
  { name: "claude", dependency: "@anthropic-ai/claude-code", script: "@anthropic-ai/claude-code" },
  { name: "deno", dependency: "deno", script: "deno" },
  { name: "esbuild", dependency: "esbuild", script: "esbuild" },
  { name: "dprint", dependency: "dprint", script: "dprint" }
]

let failed = false
for (const { name, dependency, script } of programs) {
  const wanted = devDependencies[dependency]
  const run = spawnSync(path.join(root, "node_modules", ".bin", name), ["--version"], { encoding: "utf8", timeout: 60_000 })
  const got = /\d+\.\d+\.\d+/.exec(run.stdout ?? "")?.[0]
  if (got === wanted) continue
  failed = true
  console.error(
    got === undefined
      ? `setup: ${name} ${wanted} does not run. Its install script was probably not allowed: run "npm rebuild ${script}" (npm 12: "npm rebuild --allow-scripts=${script} ${script}"), then "make setup".`
      : `setup: ${name} is ${got}, this project is tested with ${wanted}. Run "npm ci", then "make setup".`
  )
}
if (failed) process.exit(1)
