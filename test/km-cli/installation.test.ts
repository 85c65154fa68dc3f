/** `make install` and `make uninstall`: what they put below a prefix, and what they leave alone. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { type Contents, install, InstallationRefused, uninstall } from "../../km-cli/setup/Installation.ts"
import { filesBelow } from "../support/Stack.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const contents = (files: Readonly<Record<string, string>>): Contents =>
  new Map(Object.entries(files).map(([name, text]) => [name, { bytes: Buffer.from(text), executable: true }]))

const one = contents({ "bin/km": "one", "bin/km-old": "one", "share/zsh/_km": "one", "lib/km/dist/a": "one" })
const two = contents({ "bin/km": "two", "share/zsh/_km": "one", "lib/km/dist/b": "two" })

/** Every file below a directory with its text. */
const textsBelow = (directory: string): Readonly<Record<string, string>> =>
  Object.fromEntries(filesBelow(directory).map((name) => [name, fs.readFileSync(path.join(directory, name), "utf8")]))

const withPrefix = (test: (prefix: string) => void) =>
  Effect.map(temporaryDirectory, (directory) => test(path.join(directory, "a prefix")))

describe("an installation", () => {
  it.effect("is removed whole, with the directories that it made and what km itself wrote there", () =>
    withPrefix((prefix) => {
      install(prefix, one)
      fs.mkdirSync(path.join(prefix, "lib/km/dist/cache/v24"), { recursive: true })
      fs.writeFileSync(path.join(prefix, "lib/km/dist/cache/v24/x"), "")
      assert.deepStrictEqual(uninstall(prefix), [])
      assert.deepStrictEqual(fs.readdirSync(prefix), [])
      assert.throws(() => uninstall(prefix), InstallationRefused)
    }))

  it.effect("takes the place of an older one, and what that one had besides goes", () =>
    withPrefix((prefix) => {
      install(prefix, one)
      install(prefix, two)
      const { "lib/km/manifest.json": manifest, ...files } = textsBelow(prefix)
      assert.isDefined(manifest)
      assert.deepStrictEqual(files, { "bin/km": "two", "share/zsh/_km": "one", "lib/km/dist/b": "two" })
      uninstall(prefix)
      assert.deepStrictEqual(fs.readdirSync(prefix), [])
    }))

  it.effect("leaves what is there already: files, directories, links", () =>
    withPrefix((prefix) => {
      fs.mkdirSync(path.join(prefix, "bin"), { recursive: true })
      fs.mkdirSync(path.join(prefix, "share"))
      fs.writeFileSync(path.join(prefix, "bin/other"), "theirs")
      install(prefix, one)
      uninstall(prefix)
      assert.deepStrictEqual(textsBelow(prefix), { "bin/other": "theirs" })
      assert.deepStrictEqual(fs.readdirSync(prefix), ["bin", "share"])
    }))

  const foreign: ReadonlyArray<readonly [string, (file: string) => void]> = [
    ["a file", (file) => fs.writeFileSync(file, "theirs")],
    ["a link", (file) => fs.symlinkSync("/bin/true", file)],
    ["a dangling link", (file) => fs.symlinkSync("nowhere", file)],
    ["a directory", (file) => fs.mkdirSync(file)]
  ]
  for (const [what, make] of foreign) {
    it.effect(`writes nothing at all where ${what} of somebody else's is in the way`, () =>
      withPrefix((prefix) => {
        fs.mkdirSync(path.join(prefix, "bin"), { recursive: true })
        make(path.join(prefix, "bin/km"))
        assert.throws(() => install(prefix, one), /bin\/km/)
        assert.deepStrictEqual(fs.readdirSync(prefix), ["bin"])
        assert.deepStrictEqual(fs.readdirSync(path.join(prefix, "bin")), ["km"])
      }))
  }

  it.effect("leaves, and names, a file of ours that somebody has replaced since", () =>
    withPrefix((prefix) => {
      install(prefix, one)
      fs.writeFileSync(path.join(prefix, "bin/km"), "theirs")
      assert.throws(() => install(prefix, two), /bin\/km/)
      assert.deepStrictEqual(uninstall(prefix), [path.join(prefix, "bin/km")])
      assert.deepStrictEqual(textsBelow(prefix), { "bin/km": "theirs" })
    }))

  it.effect("can be finished and removed after it was cut off at any point", () =>
    withPrefix((prefix) => {
      for (const again of [() => install(prefix, one), () => undefined]) {
        install(prefix, one)
        fs.rmSync(path.join(prefix, "bin/km"))
        fs.writeFileSync(path.join(prefix, "share/zsh/_km.km-new"), "half")
        again()
        uninstall(prefix)
        assert.deepStrictEqual(fs.readdirSync(prefix), [])
      }
    }))

  it.effect("believes no manifest that reaches outside", () =>
    withPrefix((prefix) => {
      install(prefix, one)
      const victim = path.join(path.dirname(prefix), "victim")
      fs.writeFileSync(victim, "theirs")
      const manifest = path.join(prefix, "lib/km/manifest.json")
      for (const evil of ["../victim", victim, "bin/../../victim"]) {
        fs.writeFileSync(manifest, JSON.stringify({ format: 1, files: { [evil]: [] }, directories: [] }))
        assert.throws(() => uninstall(prefix), InstallationRefused)
      }
      fs.writeFileSync(manifest, "[]")
      assert.throws(() => uninstall(prefix), InstallationRefused)
      assert.strictEqual(fs.readFileSync(victim, "utf8"), "theirs")
    }))
})

describe("make install", () => {
  it.effect("puts every program on PATH with its own Node, and the completions; make uninstall removes them", () =>
    withPrefix((directory) => {
      const prefix = `${directory} it's`
      const program = fileURLToPath(new URL("../../km-cli/setup/install.ts", import.meta.url))
      const make = (node: string, action: string) =>
        spawnSync(node, [program, action, "--prefix", prefix], { encoding: "utf8", cwd: path.dirname(prefix) })
      const installed = make(process.execPath, "install")
      assert.strictEqual(installed.status, 0, installed.stderr)
      assert.deepStrictEqual(fs.readdirSync(path.join(prefix, "bin")), [
        "km",
        "km-attach",
        "km-bridge",
        "km-control",
        "km-hook",
        "km-recv",
        "km-runtime",
        "km-send",
        "km-smtp"
      ])
      // From another directory, and with no Node on PATH.
      const asked = (name: string, ...args: ReadonlyArray<string>) =>
        spawnSync(path.join(prefix, "bin", name), args, {
          encoding: "utf8",
          cwd: "/",
          env: { PATH: "/nowhere", HOME: directory }
        })
      for (const name of ["km", "km-bridge", "km-control", "km-runtime", "km-smtp"]) {
        const version = asked(name, "--version")
        assert.strictEqual(version.status, 0, version.stderr)
        assert.match(version.stdout, /\d+\.\d+\.\d+ \(/)
      }
      assert.include(fs.readFileSync(path.join(prefix, "bin/km-bridge"), "utf8"), "--max-semi-space-size=4")
      for (
        const [shell, file] of [["bash", "bash-completion/completions/km"], ["zsh", "zsh/site-functions/_km"]] as const
      ) {
        const text = fs.readFileSync(path.join(prefix, "share", file), "utf8")
        assert.strictEqual(text, asked("km", "completions", shell).stdout)
        assert.include(text, "destroy")
      }
      const removed = make(path.join(prefix, "lib/km/node"), "uninstall")
      assert.strictEqual(removed.status, 0, removed.stderr)
      assert.deepStrictEqual(fs.readdirSync(prefix), [])
      assert.strictEqual(make(process.execPath, "uninstall").status, 1)
    }))
})
