/** The package as `npm pack` makes it, installed into an empty directory without any registry. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import type { Finished } from "./KmProcess.ts"
import { claudeCommand } from "./ScriptedModel.ts"
import { temporaryDirectory } from "./temporaryDirectory.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

export interface InstalledTarball {
  /** Names in the tarball, without `package/`. */
  readonly files: ReadonlyArray<string>
  /** Runs one of its programs by name, with this Node first on PATH. */
  readonly run: (program: string, ...args: ReadonlyArray<string>) => Effect.Effect<Finished>
}

/** `node` is the binary that the programs shall run on. */
export const installedTarball = Effect.fnUntraced(function*(node: string) {
  const directory = yield* temporaryDirectory
  const place = (name: string) => {
    const made = path.join(directory, name)
    fs.mkdirSync(made, { mode: 0o700 })
    return made
  }
  const [home, empty, engine, packed] = [place("home"), place("empty"), place("engine"), place("packed")]
  fs.symlinkSync(fs.realpathSync(node), path.join(engine, "node"))
  const env = { PATH: process.env["PATH"] ?? "", HOME: home, npm_config_update_notifier: "false" }
  // What its `prepack` makes was made before the first test.
  execFileSync("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", packed], { cwd: root, env })
  const [tarball = ""] = fs.readdirSync(packed)
  const file = path.join(packed, tarball)
  const files = execFileSync("tar", ["-tzf", file], { encoding: "utf8" }).trim().split("\n").map((name) =>
    name.replace(/^package\//, "")
  )
  execFileSync("npm", ["install", "--offline", "--silent", "--prefix", empty, file], { cwd: empty, env })
  const run: InstalledTarball["run"] = (program, ...args) =>
    Effect.callback((resume) => {
      const child = spawn(path.join(empty, "node_modules/.bin", program), args, {
        cwd: empty,
        env: { PATH: `${engine}:/usr/bin:/bin`, HOME: home, TMPDIR: home, KM_CLAUDE: claudeCommand },
        stdio: ["ignore", "pipe", "pipe"]
      })
      let out = ""
      let err = ""
      child.stdout.setEncoding("utf8").on("data", (part: string) => out += part)
      child.stderr.setEncoding("utf8").on("data", (part: string) => err += part)
      child.once("close", (exit) => resume(Effect.succeed({ exit, out, err })))
      return Effect.sync(() => void child.kill("SIGTERM"))
    })
  return { files, run } satisfies InstalledTarball
})

/** A sandbox, a message and an answer, by the installed package alone. */
export const runsWhole = (node: string) =>
  Effect.gen(function*() {
    const { run } = yield* installedTarball(node)
    for (const program of ["km", "km-bridge", "km-runtime", "km-smtp"]) {
      const { err, exit, out } = yield* run(program, "--version")
      assert.strictEqual(exit, 0, err)
      // Node 22 calls its SQLite experimental; `km`, which people read, keeps that back.
      if (program === "km") assert.strictEqual(err, "")
      assert.match(out, /\d+\.\d+\.\d+ \(/)
    }
    const { err, exit, out } = yield* run("km", "demo", "--once", "--json")
    assert.strictEqual(exit, 0, err)
    assert.include(out, "\"✅\"")
  }).pipe(Effect.scoped)
