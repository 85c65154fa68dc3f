/** The state directory is private or refused, with the command that puts it right; locks die with their holder. */
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Option, Redacted, Schema, Stream } from "effect"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { errorCodes } from "../../../../runtime/adapters/disk/EngineErrors.ts"
import { holdLock } from "../../../../runtime/adapters/disk/ProcessLock.ts"
import * as SandboxStore from "../../../../runtime/adapters/disk/SandboxStore.ts"
import {
  openSandboxDirectory,
  openStateDirectory,
  readInstall,
  statePaths,
  stateRootOf,
  writeInstall
} from "../../../../runtime/adapters/disk/StateDirectory.ts"
import { Install } from "../../../../runtime/domain/install/Install.ts"
import { SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import * as EmbeddedEngine from "../../../../runtime/engines/embedded/EmbeddedEngine.ts"
import * as FileSecrets from "../../../../runtime/engines/embedded/FileSecrets.ts"
import { Controls } from "../../../../runtime/ports/Controls.ts"
import { Ledger } from "../../../../runtime/ports/Ledger.ts"
import { Objects } from "../../../../runtime/ports/Objects.ts"
import { Secrets } from "../../../../runtime/ports/Secrets.ts"
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts"
import { engineProcess } from "./engineProcess.ts"

const sandbox = SandboxId.make("sb-00000001")

const install = Schema.decodeSync(Install)({
  version: 1,
  install: "km",
  certifierPublicKey: Buffer.alloc(32, 7).toString("base64"),
  bridgeUrl: "http://127.0.0.1:4310",
  bridgeHost: "127.0.0.1:4310",
  slackApiUrl: "http://127.0.0.1:4311/api/",
  local: true
})

/** Every path below a directory with its kind and mode, `/` for the directory itself. */
const modes = (root: string): ReadonlyArray<readonly [string, string]> =>
  ["", ...fs.readdirSync(root, { recursive: true, encoding: "utf8" })].map((name) => {
    const stat = fs.lstatSync(path.join(root, name))
    return [name, `${stat.isDirectory() ? "d" : "f"}${(stat.mode & 0o777).toString(8)}`] as const
  })

/** How a state directory that worked is refused after `spoil`. */
const spoiled = (spoil: (root: string) => void) =>
  Effect.gen(function*() {
    const root = path.join(yield* temporaryDirectory, "state")
    const keep = Effect.flatMap(Secrets, (secrets) => secrets.put("slack/bot-token", Redacted.make("x")))
    yield* openStateDirectory(root)
    yield* writeInstall(root, install)
    yield* Effect.provide(keep, FileSecrets.layer(statePaths(root).secrets))
    spoil(root)
    return yield* Effect.flip(openStateDirectory(root))
  })

const rootOf = (env: Record<string, string>, flag?: string) =>
  stateRootOf(Option.fromUndefinedOr(flag)).pipe(Effect.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(env))))

describe("the state directory", () => {
  it.effect("is private in all its parts, whatever the umask was", () =>
    Effect.gen(function*() {
      const root = path.join(yield* temporaryDirectory, "deep", "state")
      process.umask(0o022)
      yield* Effect.gen(function*() {
        yield* Effect.flatMap(Controls, (controls) => controls.send(sandbox, { kind: "stop", id: "1", by: "operator" }))
        const bytes = Stream.succeed(Buffer.from("x"))
        yield* Effect.flatMap(Objects, (objects) => objects.put(sandbox, "a/b", bytes))
        yield* writeInstall(root, install)
        const keep = Effect.flatMap(Secrets, (secrets) => secrets.put("slack/bot-token", Redacted.make("x")))
        yield* Effect.provide(keep, FileSecrets.layer(statePaths(root).secrets))
        const turns = Effect.flatMap(Ledger, (ledger) => ledger.remember("a", "b"))
        yield* Effect.provide(turns, SandboxStore.layer(statePaths(root).sandbox(sandbox).directory))
        const all = modes(root)
        assert.deepStrictEqual(all.filter(([, mode]) => mode !== "d700" && mode !== "f600"), [])
        const names = all.map(([name]) => name)
        for (const name of ["engine.db", "engine.db-wal", "install.json", "bells", "secrets/slack/bot-token/v1"]) {
          assert.include(names, name)
        }
      }).pipe(Effect.provide(EmbeddedEngine.layer(root)))
      assert.strictEqual(fs.statSync(path.dirname(root)).mode & 0o777, 0o700)
    }))

  it.effect("is refused when others can enter it, with the command to run", () =>
    Effect.gen(function*() {
      for (const place of ["", "secrets", "secrets/slack", "sandboxes", "run", "bells"]) {
        const error = yield* spoiled((root) => fs.chmodSync(path.join(root, place), 0o750))
        assert.strictEqual(error.code, "KM-ENG-001", place)
        assert.match(error.message, new RegExp(`chmod 700 /.*${place}$`))
      }
    }))

  it.effect("is refused when others can read one of its files", () =>
    Effect.gen(function*() {
      for (const place of ["install.json", "secrets/slack/bot-token/v1"]) {
        const error = yield* spoiled((root) => fs.chmodSync(path.join(root, place), 0o640))
        assert.strictEqual(error.code, "KM-ENG-003", place)
        assert.match(error.message, new RegExp(`chmod 600 /.*${place}$`))
      }
    }))

  it.effect("is refused when a link or a file stands where something else must be", () =>
    Effect.gen(function*() {
      const link = yield* spoiled((root) => {
        fs.renameSync(path.join(root, "install.json"), path.join(root, "moved.json"))
        fs.symlinkSync(path.join(root, "moved.json"), path.join(root, "install.json"))
      })
      assert.strictEqual(link.code, "KM-ENG-004")
      const file = yield* spoiled((root) => {
        fs.rmdirSync(path.join(root, "run"))
        fs.writeFileSync(path.join(root, "run"), "", { mode: 0o600 })
      })
      assert.strictEqual(file.code, "KM-ENG-004")
    }))

  it.effect("is refused when it belongs to somebody else, or cannot be made", () =>
    Effect.gen(function*() {
      const directory = yield* temporaryDirectory
      const mine = process.getuid?.() ?? 0
      // Root may give a directory away; anybody else finds root's.
      if (mine === 0) fs.chownSync(directory, 65_534, 65_534)
      const foreign = yield* Effect.flip(openStateDirectory(mine === 0 ? directory : "/"))
      assert.strictEqual(foreign.code, "KM-ENG-002")
      if (mine === 0) assert.deepStrictEqual(fs.readdirSync(directory), [])
      const file = path.join(yield* temporaryDirectory, "file")
      fs.writeFileSync(file, "")
      assert.strictEqual((yield* Effect.flip(openStateDirectory(path.join(file, "state")))).code, "KM-ENG-005")
    }))

  it.effect("an agent that opens its home to others does not stop its own sandbox", () =>
    Effect.gen(function*() {
      const directory = path.join(yield* temporaryDirectory, "sb-1")
      const paths = yield* openSandboxDirectory(directory)
      fs.mkdirSync(paths.home, { mode: 0o700 })
      fs.chmodSync(paths.home, 0o777)
      yield* openSandboxDirectory(directory)
      fs.chmodSync(directory, 0o755)
      assert.strictEqual((yield* Effect.flip(openSandboxDirectory(directory))).code, "KM-ENG-001")
    }))

  it.effect("comes from KM_STATE, else the state home, else the home directory", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* rootOf({ KM_STATE: "/a", XDG_STATE_HOME: "/b", HOME: "/c" }), "/a")
      assert.strictEqual(yield* rootOf({ XDG_STATE_HOME: "/b", HOME: "/c" }), "/b/km")
      assert.strictEqual(yield* rootOf({ HOME: "/c" }), "/c/.local/state/km")
      assert.strictEqual(yield* rootOf({ KM_STATE: "/a", HOME: "/c" }, "/f"), "/f")
    }))

  it.effect("is never guessed from the working directory", () =>
    Effect.gen(function*() {
      const account = path.join(os.userInfo().homedir, ".local/state/km")
      const unset: ReadonlyArray<Record<string, string>> = [
        {},
        { KM_STATE: "", XDG_STATE_HOME: "", HOME: "" },
        { XDG_STATE_HOME: "state", HOME: "." }
      ]
      for (const env of unset) assert.strictEqual(yield* rootOf(env), account, JSON.stringify(env))
      const refused = yield* Effect.flip(rootOf({ HOME: "/c" }, ""))
      assert.strictEqual(refused.code, "KM-ENG-005")
      assert.strictEqual(refused.detail, "there is no state directory: --state is empty")
      assert.strictEqual(yield* rootOf({ HOME: "/c" }, "~/km"), "/c/km")
    }))
})

describe("install.json", () => {
  it.effect("is read as it was written, and replaced in one step", () =>
    Effect.gen(function*() {
      const root = yield* temporaryDirectory
      assert.strictEqual((yield* Effect.flip(readInstall(root))).code, "KM-ENG-006")
      yield* writeInstall(root, install)
      yield* writeInstall(root, { ...install, local: false })
      assert.deepStrictEqual(yield* readInstall(root), { ...install, local: false })
      assert.deepStrictEqual(fs.readdirSync(root), ["install.json"])
    }))

  it.effect("names what is wrong in it", () =>
    Effect.gen(function*() {
      const root = yield* temporaryDirectory
      fs.writeFileSync(statePaths(root).install, JSON.stringify({ ...install, certifierPublicKey: "short" }))
      const error = yield* Effect.flip(readInstall(root))
      assert.strictEqual(error.code, "KM-ENG-007")
      assert.include(error.message, "certifierPublicKey")
      // A word that is not ours would be lost with the next write.
      fs.writeFileSync(statePaths(root).install, JSON.stringify({ ...install, smtp: { relays: {} } }))
      const unknown = yield* Effect.flip(readInstall(root))
      assert.deepInclude(unknown, { code: "KM-ENG-007" })
      assert.include(unknown.message, "relays")
    }))

  it.effect("is refused while it asks for an engine and does not say where that is", () =>
    Effect.gen(function*() {
      const root = yield* temporaryDirectory
      yield* writeInstall(root, { ...install, engine: "embedded" })
      assert.strictEqual((yield* readInstall(root)).engine, "embedded")
      yield* writeInstall(root, { ...install, engine: "aws" })
      const refused = yield* Effect.flip(readInstall(root))
      assert.strictEqual(refused.code, "KM-ENG-015")
      assert.include(refused.message, "region and accountId")
      const place = { region: "eu-central-1", accountId: "123456789012" }
      yield* writeInstall(root, { ...install, engine: "aws", aws: place })
      assert.deepStrictEqual((yield* readInstall(root)).aws, place)
      // Nobody is asked who is not on this machine, but AWS itself.
      const far = { ...install, engine: "aws", aws: { ...place, endpoint: "http://aws.example:4566" } }
      fs.writeFileSync(statePaths(root).install, JSON.stringify(far))
      assert.strictEqual((yield* Effect.flip(readInstall(root))).code, "KM-ENG-007")
    }))
})

describe("a lock", () => {
  it.effect("has one holder in this process, and is free after it", () =>
    Effect.gen(function*() {
      const file = path.join(yield* temporaryDirectory, "runtime.lock")
      yield* Effect.scoped(Effect.gen(function*() {
        yield* holdLock(file, "runs sb-1")
        const error = yield* Effect.flip(Effect.scoped(holdLock(file, "runs sb-1")))
        assert.strictEqual(error.code, "KM-ENG-008")
        assert.include(error.message, `process ${process.pid} already runs sb-1`)
      }))
      yield* Effect.scoped(holdLock(file, "runs sb-1"))
      assert.strictEqual(fs.statSync(file).mode & 0o777, 0o600)
    }))

  it.live("held by another process is free once that is killed", () =>
    Effect.gen(function*() {
      const file = path.join(yield* temporaryDirectory, "runtime.lock")
      const child = yield* engineProcess("lock", file, "runs sb-1")
      yield* child.line("held")
      const error = yield* Effect.flip(Effect.scoped(holdLock(file, "runs sb-1")))
      assert.include(error.message, `process ${child.child.pid} already runs sb-1`)
      yield* child.kill
      yield* Effect.scoped(holdLock(file, "runs sb-1"))
    }))

  it.effect("that cannot be made says so", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Effect.scoped(holdLock("/nowhere/at/all.lock", "runs")))
      assert.strictEqual(error.code, "KM-ENG-005")
    }))
})

describe("error codes", () => {
  it("are unique, numbered without a gap, and say what to do", () => {
    const expected = errorCodes.map((_, n) => `KM-ENG-${String(n + 1).padStart(3, "0")}`)
    assert.deepStrictEqual(errorCodes.map(({ code }) => code), expected)
    for (const { remedy, what } of errorCodes) assert.isTrue(what.length > 10 && remedy.length > 10)
  })
})
