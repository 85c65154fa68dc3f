/** Where the embedded engine keeps everything, and the refusal to work in a place that others can read. */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { Install } from "../../domain/install/Install.ts"
import { statePlace } from "../../domain/install/StatePath.ts"
import type { SandboxId } from "../../domain/sandbox/Ids.ts"
import { EngineRefused } from "./EngineErrors.ts"
import { errorCode, makeDirectory, writeFileAtomically } from "./PrivateFiles.ts"

/** Paths of one sandbox; only the first is made by the engine, the rest by who uses them. */
export interface SandboxPaths {
  readonly directory: string
  readonly ledger: string
  /** `runs/{turn}/{attempt}/`. */
  readonly runs: string
  readonly home: string
  readonly workspace: string
  /** Sockets and locks. */
  readonly run: string
}

export interface StatePaths {
  readonly root: string
  readonly install: string
  readonly database: string
  /** The journal: a file per chain. */
  readonly audit: string
  /** Where each chain of the journal ended when it was last written down. */
  readonly auditHeads: string
  readonly bells: string
  readonly objects: string
  /** Large messages, one directory per mailbox. */
  readonly mail: string
  readonly secrets: string
  readonly sandboxes: string
  /** Locks, pid files, `up.json`. */
  readonly run: string
  readonly sandbox: (id: SandboxId) => SandboxPaths
}

export const sandboxPaths = (directory: string): SandboxPaths => ({
  directory,
  ledger: path.join(directory, "ledger.db"),
  runs: path.join(directory, "runs"),
  home: path.join(directory, "home"),
  workspace: path.join(directory, "workspace"),
  run: path.join(directory, "run")
})

export const statePaths = (root: string): StatePaths => {
  const sandboxes = path.join(root, "sandboxes")
  return {
    root,
    install: path.join(root, "install.json"),
    database: path.join(root, "engine.db"),
    audit: path.join(root, "audit"),
    auditHeads: path.join(root, "audit-heads"),
    bells: path.join(root, "bells"),
    objects: path.join(root, "objects"),
    mail: path.join(root, "mail"),
    secrets: path.join(root, "secrets"),
    sandboxes,
    run: path.join(root, "run"),
    sandbox: (id) => sandboxPaths(path.join(sandboxes, id))
  }
}

const refuse = (code: EngineRefused["code"], detail: string, remedy: string) =>
  new EngineRefused({ code, detail, remedy })

/** The account's home by the operating system; undefined for a user without an entry, as in some containers. */
const accountHome = (): string | undefined => {
  try {
    return os.userInfo().homedir
  } catch {
    return undefined
  }
}

const variable = (name: string) => Effect.orElseSucceed(Config.String(name), () => undefined)

/** `flag`, else `KM_STATE`, else `$XDG_STATE_HOME/km`, else `~/.local/state/km`; absolute. Refused where none is a place. */
export const stateRootOf = Effect.fnUntraced(function*(flag: Option.Option<string>) {
  const place = statePlace({
    flag: Option.getOrUndefined(flag),
    variable: yield* variable("KM_STATE"),
    xdg: yield* variable("XDG_STATE_HOME"),
    home: yield* variable("HOME"),
    account: accountHome()
  })
  if (Result.isSuccess(place)) return path.resolve(place.success.path)
  return yield* refuse("KM-ENG-005", `there is no state directory: ${place.failure}`, "set KM_STATE to a directory")
})

/** Of a program that has no flag for it. */
export const stateRoot = stateRootOf(Option.none())

/** Why a file or directory may not be trusted, or undefined. A missing one is fine: it is made with the right mode. */
const mistrust = (file: string, kind: "directory" | "file"): EngineRefused | undefined => {
  const stat = fs.lstatSync(file, { throwIfNoEntry: false })
  if (stat === undefined) return undefined
  const right = kind === "directory" ? stat.isDirectory() : stat.isFile() || stat.isSocket()
  if (!right) return refuse("KM-ENG-004", `${file} is not a plain ${kind}`, "move it away")
  const uid = process.getuid?.()
  if (uid !== undefined && stat.uid !== uid) {
    return refuse(
      "KM-ENG-002",
      `${file} belongs to user ${stat.uid}, this process runs as ${uid}`,
      "run as its owner, or set KM_STATE to a directory of your own"
    )
  }
  if ((stat.mode & 0o077) === 0) return undefined
  const mode = (stat.mode & 0o777).toString(8).padStart(4, "0")
  return kind === "directory"
    ? refuse("KM-ENG-001", `${file} is open to other users (${mode})`, `run: chmod 700 ${file}`)
    : refuse("KM-ENG-003", `${file} is open to other users (${mode})`, `run: chmod 600 ${file}`)
}

/** The entries of a directory; none when it has gone meanwhile. */
const entriesOf = (directory: string): ReadonlyArray<fs.Dirent> => {
  try {
    return fs.readdirSync(directory, { withFileTypes: true })
  } catch (cause) {
    if (errorCode(cause) === "ENOENT") return []
    throw cause
  }
}

/** The first thing at or below `directory`, `depth` levels deep, that may not be trusted; `except` is judged elsewhere. */
const mistrustTree = (directory: string, depth: number, except?: string): EngineRefused | undefined => {
  const bad = mistrust(directory, "directory")
  if (bad !== undefined || depth === 0) return bad
  for (const entry of entriesOf(directory)) {
    const file = path.join(directory, entry.name)
    if (file === except) continue
    const worse = entry.isDirectory() ? mistrustTree(file, depth - 1) : mistrust(file, "file")
    if (worse !== undefined) return worse
  }
  return undefined
}

/** Under systemd it is the unit's own: an empty one of root's, into which what the process is given is mounted. */
const mistrustSecrets = (secrets: string): EngineRefused | undefined => {
  const stat = fs.lstatSync(secrets, { throwIfNoEntry: false })
  const mounted = stat !== undefined && stat.isDirectory() && stat.uid === 0 && (stat.mode & 0o022) === 0
    && process.getuid?.() !== 0
  if (!mounted) return mistrustTree(secrets, 16)
  for (const { name } of entriesOf(secrets)) {
    const directory = path.join(secrets, name)
    const above = fs.lstatSync(directory)
    // On the way to a mount the directories are root's too.
    const worse = above.uid === 0 ? mistrustSecrets(directory) : mistrustTree(directory, 15)
    if (worse !== undefined) return worse
  }
  return undefined
}

/**
 * The root, what lies directly in it, every sandbox's directory and every secret. Not the inside of a sandbox: its home
 * and workspace are the agent's to change, and lie below a directory that only we enter.
 */
const checkTree = (paths: StatePaths): EngineRefused | undefined =>
  mistrustTree(paths.root, 1, paths.secrets) ?? mistrustTree(paths.run, 1) ?? mistrustSecrets(paths.secrets)
    ?? mistrustTree(paths.sandboxes, 1)

/** Nothing is made in a place that is refused. */
const opening = <A>(
  place: string,
  check: () => EngineRefused | undefined,
  directories: ReadonlyArray<string>,
  value: A
): Effect.Effect<A, EngineRefused> =>
  Effect.suspend(() => {
    try {
      process.umask(0o077)
      const bad = check()
      if (bad !== undefined) return Effect.fail(bad)
      for (const directory of directories) makeDirectory(directory)
      return Effect.succeed(value)
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : "unknown failure"
      return Effect.fail(refuse("KM-ENG-005", `${place} cannot be used: ${why}`, "check its parent, or set KM_STATE"))
    }
  })

/** All that an install has for itself: everything but what belongs to a sandbox. */
export const ownPaths = (root: string): ReadonlyArray<string> => {
  const { root: _root, sandbox: _sandbox, sandboxes: _sandboxes, ...own } = statePaths(root)
  return Object.values(own)
}

/**
 * Creates what is missing (0700) and refuses a place that another user owns or can enter. Sets the process's umask to
 * 077, so that files made by libraries are private too.
 */
export const openStateDirectory = (root: string): Effect.Effect<StatePaths, EngineRefused> => {
  const paths = statePaths(root)
  const directories = [root, paths.bells, paths.objects, paths.secrets, paths.sandboxes, paths.run]
  return opening(root, () => checkTree(paths), directories, paths)
}

/** The same for one sandbox's directory: itself and its ledger; home and workspace belong to the agent. */
export const openSandboxDirectory = (directory: string): Effect.Effect<SandboxPaths, EngineRefused> => {
  const paths = sandboxPaths(directory)
  const check = () =>
    mistrust(directory, "directory")
      ?? ["", "-wal", "-shm"].map((suffix) => mistrust(`${paths.ledger}${suffix}`, "file")).find(Boolean)
  return opening(directory, check, [directory], paths)
}

const InstallJson = Schema.fromJsonString(Install)
/** A key that nobody knows is a mistake, and would be lost with the next `writeInstall`. */
const decodeInstall = Schema.decodeUnknownEffect(InstallJson, { onExcessProperty: "error" })
const encodeInstall = Schema.encodeSync(Schema.fromJsonString(Install))

/**
 * Fails with KM-ENG-006 where nothing was installed, KM-ENG-007 when the file cannot be understood, and KM-ENG-015 where it
 * asks for an engine and does not say where that is: no process may go on with the other one in its place.
 */
export const readInstall = Effect.fn("StateDirectory.readInstall")(function*(root: string) {
  const file = statePaths(root).install
  const text = yield* Effect.try({
    try: () => fs.readFileSync(file, "utf8"),
    catch: (cause) =>
      errorCode(cause) === "ENOENT"
        ? refuse("KM-ENG-006", `there is no install in ${root}`, "run `km up`, or set KM_STATE")
        : refuse("KM-ENG-005", `${file} cannot be read (${errorCode(cause)})`, "check its owner and mode")
  })
  const install = yield* Effect.mapError(
    decodeInstall(text),
    (error) =>
      refuse("KM-ENG-007", `${file} cannot be understood: ${error.message}`, "correct it, or restore it from a backup")
  )
  if (install.engine === "aws" && install.aws === undefined) {
    const detail = `${file} asks for the engine aws and does not say in which account`
    return yield* refuse("KM-ENG-015", detail, "give it aws: region and accountId")
  }
  return install
})

/** Replaces `install.json` in one step; synced. */
export const writeInstall = Effect.fn("StateDirectory.writeInstall")(function*(root: string, install: Install) {
  const file = statePaths(root).install
  yield* Effect.try({
    try: () => writeFileAtomically(file, `${encodeInstall(install)}\n`),
    catch: (cause) => refuse("KM-ENG-005", `${file} cannot be written (${errorCode(cause)})`, "check its directory")
  })
})
