/** Completion as a person meets it: the real shells, with keys, on a real install. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import { bundled } from "../support/bundled.ts"
import { km } from "../support/KmProcess.ts"
import { mailState } from "../support/MailState.ts"
import { type Key, type Shell, shellSession } from "../support/ShellSession.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const id = "sb-1a2b3c4d"

/** A directory with a path that has a blank, two installs, and `km` on PATH or nowhere. */
const place = Effect.fnUntraced(function*() {
  const { state } = yield* mailState({ [id]: "demo" })
  const other = yield* mailState({ "sb-2b3c4d5e": "else-where" })
  yield* km(state, ["at", "in 2 hours", "pause", "demo", "--name", "nightly", "--yes"])
  const cwd = yield* temporaryDirectory
  const bin = path.join(yield* temporaryDirectory, "bin")
  mkdirSync(bin)
  mkdirSync(path.join(cwd, "my files"))
  for (const file of ["my files/a profile.yaml", "letter.txt"]) writeFileSync(path.join(cwd, file), "")
  writeFileSync(path.join(bin, "km"), `#!/bin/sh\nexec '${process.execPath}' '${bundled("km.mjs")}' "$@"\n`)
  chmodSync(path.join(bin, "km"), 0o755)
  return { state, other: other.state, cwd, bin }
})

const program = `${process.execPath} ${bundled("km.mjs")}`

interface Session {
  readonly completed: (line: string, key?: Key) => Effect.Effect<ReadonlyArray<string>>
  readonly run: (line: string) => Effect.Effect<unknown>
  readonly pressed: (line: string) => Effect.Effect<unknown>
}

/** Fish answers itself what Tab would offer; its words, and for one alone the line that it would become. */
const fishSession = (options: { readonly cwd: string; readonly env: Readonly<Record<string, string>> }): Session => {
  const before: Array<string> = []
  const offered = (line: string): string =>
    execFileSync("fish", ["--no-config", "-c", [...before, "complete -C $argv[1]"].join("\n"), line], {
      ...options,
      encoding: "utf8"
    })
  return {
    run: (line) => Effect.sync(() => void before.push(line)),
    pressed: (line) => Effect.sync(() => offered(line)),
    completed: (line, key = "tab") =>
      Effect.sync(() => {
        const told = offered(line)
        const found = told.split("\n").filter((row) => row !== "").map((row) => row.split("\t")[0] ?? "")
        const words = [...line.matchAll(/(?:\\.|"[^"]*"?|'[^']*'?|[^\s])+/g)].map(([word]) =>
          word.replaceAll(/["'\\]/g, "")
        )
        const whole = line.endsWith(" ") ? words : words.slice(0, -1)
        return key === "tab" && found.length !== 1 ? words : [...whole, ...found]
      })
  }
}

const opened = Effect.fnUntraced(function*(
  shell: Shell,
  at: Effect.Success<ReturnType<typeof place>>,
  more: { readonly onPath: boolean }
) {
  const env = {
    PATH: `${more.onPath ? `${at.bin}:` : ""}/usr/bin:/bin`,
    HOME: at.cwd,
    KM_STATE: at.state,
    LANG: "C.UTF-8"
  }
  const session: Session = shell === "fish"
    ? fishSession({ cwd: at.cwd, env })
    : yield* shellSession(shell, { cwd: at.cwd, env })
  const source: Readonly<Record<Shell, string>> = {
    bash: `source <(${program} completions bash)`,
    zsh: `source <(${program} completions zsh)`,
    fish: `${program} completions fish | source`
  }
  return { ...session, load: session.run(source[shell]) }
})

for (const shell of ["bash", "zsh", "fish"] as const) {
  describe(`completion in ${shell}`, () => {
    it.live("knows commands, flags, values of flags, and the install's names", () =>
      Effect.gen(function*() {
        const at = yield* place()
        const { completed, load } = yield* opened(shell, at, { onPath: true })
        yield* load
        const gives = Effect.fnUntraced(function*(line: string, words: ReadonlyArray<string>, key?: Key) {
          assert.deepStrictEqual(yield* completed(line, key), words, line)
        })
        yield* gives("km ema", ["km", "email"])
        yield* gives("km email quar", ["km", "email", "quarantine"])
        yield* gives("km create --unc", ["km", "create", "--unconfined"])
        yield* gives("km logs --part ru", ["km", "logs", "--part", "runtime"])
        yield* gives("km logs --part=ru", ["km", "logs", "--part=runtime"])
        yield* gives("km logs --part mail", ["km", "logs", "--part", "mail-in", "mail-out"], "all")
        yield* gives("km completions f", ["km", "completions", "fish"])
        yield* gives("km status ", ["km", "status", "demo", id], "all")
        yield* gives("km pause d", ["km", "pause", "demo"])
        yield* gives("km --json extend d", ["km", "--json", "extend", "demo"])
        yield* gives("km chat --thread status d", ["km", "chat", "--thread", "status", "demo"])
        yield* gives("km at show n", ["km", "at", "show", "nightly"])
        yield* gives("km at tomorrow destroy d", ["km", "at", "tomorrow", "destroy", "demo"])
        yield* gives("km at tomorrow agent run d", ["km", "at", "tomorrow", "agent", "run", "demo"])
        yield* gives("km email list o", ["km", "email", "list", "operator"])
        yield* gives("km email send --to d", ["km", "email", "send", "--to", "demo"])
        yield* gives("km identity rotate demo --purpose mail-", [
          "km",
          "identity",
          "rotate",
          "demo",
          "--purpose",
          "mail-box"
        ])
      }).pipe(Effect.scoped))

    it.live("completes files where a file is meant, also with a blank in the path", () =>
      Effect.gen(function*() {
        const at = yield* place()
        const { completed, load } = yield* opened(shell, at, { onPath: true })
        yield* load
        const file = ["my files/a profile.yaml"]
        for (const line of ["km validate my\\ files/a", "km create \"my files/a", "km --config my\\ files/a"]) {
          assert.deepStrictEqual((yield* completed(line)).slice(-1), file, line)
        }
        for (
          const line of [
            "km email send --body let",
            "km email send --attach let",
            "km at tomorrow email send --body let"
          ]
        ) {
          assert.deepStrictEqual((yield* completed(line)).slice(-1), ["letter.txt"], line)
        }
        assert.deepStrictEqual((yield* completed("km status let")).slice(-1), ["let"])
      }).pipe(Effect.scoped))

    it.live("asks the install that the line names", () =>
      Effect.gen(function*() {
        const at = yield* place()
        const { completed, load, pressed } = yield* opened(shell, at, { onPath: true })
        yield* load
        for (const flag of [`--state ${at.other}`, `--state=${at.other}`, `--state '${at.other}'`]) {
          assert.deepStrictEqual((yield* completed(`km ${flag} status el`)).slice(-1), ["else-where"], flag)
        }
        assert.deepStrictEqual((yield* completed(`km --state ${at.other} status dem`)).slice(-1), ["dem"])
        yield* pressed("km --state $(touch ran) status d")
        yield* pressed("km --state `touch ran` status d")
        assert.isFalse(existsSync(path.join(at.cwd, "ran")))
      }).pipe(Effect.scoped))

    for (const order of ["before", "after"] as const) {
      it.live(`works behind an alias that was made ${order} it`, () =>
        Effect.gen(function*() {
          const at = yield* place()
          const { completed, load, run } = yield* opened(shell, at, { onPath: false })
          if (order === "after") yield* load
          yield* run(`alias km='${program}'`)
          if (order === "before") yield* load
          assert.deepStrictEqual((yield* completed("km ema")).slice(-1), ["email"])
          assert.deepStrictEqual((yield* completed("km status d")).slice(-1), ["demo"])
          assert.deepStrictEqual((yield* completed("km logs --part ru")).slice(-1), ["runtime"])
          yield* run(`alias km='${program} --state ${at.other}'`)
          assert.deepStrictEqual((yield* completed("km status el")).slice(-1), ["else-where"])
        }).pipe(Effect.scoped))
    }
  })
}

describe("the installed completion of zsh", () => {
  it.live("answers the first Tab, and leaves other programs alone", () =>
    Effect.gen(function*() {
      const at = yield* place()
      const functions = path.join(at.bin, "functions")
      mkdirSync(functions)
      writeFileSync(path.join(functions, "_km"), (yield* km(at.state, ["completions", "zsh"])).out)
      const { completed, run } = yield* opened("zsh", at, { onPath: true })
      yield* run(`fpath=(${functions} $fpath); compinit -u -D`)
      assert.deepStrictEqual((yield* completed("km status d")).slice(-1), ["demo"])
      assert.deepStrictEqual((yield* completed("ls let")).slice(-1), ["letter.txt"])
      yield* run("alias k=km")
      assert.deepStrictEqual((yield* completed("k status d")).slice(-1), ["demo"])
    }).pipe(Effect.scoped))
})
