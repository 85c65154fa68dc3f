/** Secrets as files that only their owner reads: a directory per secret, a file per version, the highest one current. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as fs from "node:fs"
import * as path from "node:path"
import {
  errorCode,
  fileEffect,
  isTemporary,
  makeDirectory,
  privateFileMode,
  pruneEmpty,
  syncDirectory,
  temporaryBeside
} from "../../adapters/disk/PrivateFiles.ts"
import type { SecretsScope } from "../../domain/install/ProcessSecrets.ts"
import {
  checkSecret,
  scopedSecrets,
  secretPath,
  Secrets,
  secretsWithoutCertifier,
  underPath
} from "../../ports/Secrets.ts"

/** Versions kept beside the current one, for a person who must go back. */
const keptVersions = 9

const versionPattern = /^v([1-9]\d{0,9})$/

const namesOf = (directory: string): ReadonlyArray<string> => {
  try {
    return fs.readdirSync(directory)
  } catch (cause) {
    if (errorCode(cause) === "ENOENT" || errorCode(cause) === "ENOTDIR") return []
    throw cause
  }
}

/** Ascending; empty for a secret that is not there. */
const versionsOf = (directory: string): ReadonlyArray<number> =>
  namesOf(directory)
    .flatMap((name) => {
      const version = versionPattern.exec(name)?.[1]
      return version === undefined ? [] : [Number(version)]
    })
    .toSorted((a, b) => a - b)

const versionFile = (directory: string, version: number): string => path.join(directory, `v${version}`)

/** Links the synced content under the next free version: of two writers, each gets its own. */
const addVersion = (directory: string, value: string): number => {
  makeDirectory(directory)
  const temporary = temporaryBeside(versionFile(directory, 1))
  const handle = fs.openSync(temporary, "wx", privateFileMode)
  try {
    try {
      fs.writeFileSync(handle, value)
      fs.fsyncSync(handle)
    } finally {
      fs.closeSync(handle)
    }
    for (;;) {
      const version = (versionsOf(directory).at(-1) ?? 0) + 1
      try {
        fs.linkSync(temporary, versionFile(directory, version))
        return version
      } catch (cause) {
        if (errorCode(cause) !== "EEXIST") throw cause
      }
    }
  } finally {
    fs.rmSync(temporary, { force: true })
  }
}

const readCurrent = (directory: string): string | undefined => {
  for (;;) {
    const version = versionsOf(directory).at(-1)
    if (version === undefined) return undefined
    try {
      return fs.readFileSync(versionFile(directory, version), {
        encoding: "utf8",
        flag: fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW
      })
    } catch (cause) {
      // Deleted or thinned out since it was listed: look again.
      if (errorCode(cause) !== "ENOENT") throw cause
    }
  }
}

const listSecrets = (root: string, segments: ReadonlyArray<string>): ReadonlyArray<string> => {
  const directory = path.join(root, ...segments)
  let entries: ReadonlyArray<fs.Dirent>
  try {
    entries = fs.readdirSync(directory, { withFileTypes: true })
  } catch (cause) {
    if (errorCode(cause) === "ENOENT") return []
    throw cause
  }
  const own = entries.some(({ name }) => versionPattern.test(name)) ? [segments.join("/")] : []
  return [
    ...own,
    ...entries.filter((entry) => entry.isDirectory()).flatMap(({ name }) => listSecrets(root, [...segments, name]))
  ]
}

const removeSecret = (directory: string, root: string): void => {
  for (const name of namesOf(directory)) {
    if (versionPattern.test(name) || isTemporary(name)) fs.rmSync(path.join(directory, name), { force: true })
  }
  pruneEmpty(directory, root)
}

const make = (root: string): Secrets["Service"] => {
  const located = (operation: string, secret: string) =>
    Effect.map(secretPath(operation, secret), (segments) => path.join(root, ...segments))

  return Secrets.of({
    get: Effect.fnUntraced(function*(secret) {
      const directory = yield* located("get", secret)
      const value = yield* fileEffect("Secrets", "get", () => readCurrent(directory))
      return Option.map(Option.fromNullishOr(value), (found) => Redacted.make(found, { label: secret }))
    }),
    put: Effect.fnUntraced(function*(secret, value) {
      yield* checkSecret(value)
      const directory = yield* located("put", secret)
      return yield* fileEffect("Secrets", "put", () => {
        const version = addVersion(directory, Redacted.value(value))
        for (const old of versionsOf(directory)) {
          if (old < version - keptVersions) fs.rmSync(versionFile(directory, old), { force: true })
        }
        syncDirectory(directory)
        return version
      })
    }),
    delete: Effect.fnUntraced(function*(secret) {
      const directory = yield* located("delete", secret)
      yield* fileEffect("Secrets", "delete", () => removeSecret(directory, root))
    }),
    deleteUnder: Effect.fnUntraced(function*(secret) {
      const segments = yield* secretPath("deleteUnder", secret)
      yield* fileEffect("Secrets", "deleteUnder", () => {
        for (const name of listSecrets(root, segments)) removeSecret(path.join(root, name), root)
      })
    }),
    under: Effect.fnUntraced(function*(secret) {
      const segments = yield* underPath(secret)
      return yield* fileEffect("Secrets", "under", () =>
        listSecrets(root, segments).toSorted().flatMap((name) => {
          const value = readCurrent(path.join(root, name))
          // Deleted since it was listed.
          return value === undefined ? [] : [{ path: name, value: Redacted.make(value, { label: name }) }]
        }))
    })
  })
}

/** Every secret of the install: for create, rotate and the operator's own commands. `directory` is `secrets/`. */
export const layer = (directory: string): Layer.Layer<Secrets> => Layer.sync(Secrets, () => make(directory))

/** Every secret but the certifier's: for `km up`, once a person has made the install. */
export const layerUnattended = (directory: string): Layer.Layer<Secrets> =>
  Layer.sync(Secrets, () => secretsWithoutCertifier(make(directory)))

/** Only what the scope names: for every process that runs by itself (`ProcessSecrets`). */
export const layerScoped = (directory: string, scope: SecretsScope): Layer.Layer<Secrets> =>
  Layer.sync(Secrets, () => scopedSecrets(make(directory), scope))
