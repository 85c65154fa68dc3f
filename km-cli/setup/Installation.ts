/**
 * An installation below a prefix: what is put where, and a manifest of it, so that removing takes away exactly what was
 * put there. A file that is not as the manifest has it belongs to somebody else: it is neither overwritten nor removed.
 */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"

/** Path below the prefix → what goes there. */
export type Contents = ReadonlyMap<string, { readonly bytes: Uint8Array; readonly executable: boolean }>

export interface Manifest {
  readonly format: 1
  /** Path below the prefix → SHA-256, hex. Two while an installation is under way over an older one. */
  readonly files: Readonly<Record<string, ReadonlyArray<string>>>
  /** Directories that were not there before, outermost first. */
  readonly directories: ReadonlyArray<string>
}

/** Where our own directory is, below the prefix. */
export const library = "lib/km"
const manifestPath = `${library}/manifest.json`
/** V8's compiled code of `km`, which `km` writes itself. */
const cachePath = `${library}/dist/cache`
/** What is being written, beside the place that it is then moved to. */
const unfinished = (file: string): string => `${file}.km-new`

/** Why nothing was done. */
export class InstallationRefused extends Error {
  constructor(message: string) {
    super(message)
    this.name = "InstallationRefused"
  }
}

const empty: Manifest = { format: 1, files: {}, directories: [] }

const hashOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

/** `undefined` where nothing is; a link, a directory or whatever else is no file has a hash that no manifest holds. */
const hashAt = (file: string): string | undefined => {
  const found = fs.lstatSync(file, { throwIfNoEntry: false })
  if (found === undefined) return undefined
  return found.isFile() ? hashOf(fs.readFileSync(file)) : "no file"
}

/** Only names below the prefix: a manifest that was tampered with must not reach elsewhere. */
const isInside = (name: string): boolean => !path.isAbsolute(name) && !name.split("/").includes("..")

/** What is installed below the prefix; `undefined` where nothing is. */
export const readManifest = (prefix: string): Manifest | undefined => {
  const file = path.join(prefix, manifestPath)
  if (!fs.existsSync(file)) return undefined
  try {
    const { directories, files, format }: Manifest = JSON.parse(fs.readFileSync(file, "utf8"))
    if (format === 1 && [...Object.keys(files), ...directories].every(isInside)) return { format, files, directories }
  } catch {
    // Said below, as for any other content that is not ours.
  }
  throw new InstallationRefused(`${file} is no manifest of km's; move it away, and remove km's files by hand`)
}

const writeManifest = (prefix: string, manifest: Manifest): void => {
  const file = path.join(prefix, manifestPath)
  fs.writeFileSync(unfinished(file), `${JSON.stringify(manifest, null, 1)}\n`, { mode: 0o644 })
  fs.renameSync(unfinished(file), file)
}

const isOurs = (prefix: string, { files }: Manifest, name: string): boolean => {
  const hash = hashAt(path.join(prefix, name))
  return hash === undefined || (files[name] ?? []).includes(hash)
}

/** Makes the directory, readable for all as its siblings are, and returns the ones that were missing. */
const makeDirectory = (prefix: string, name: string): ReadonlyArray<string> => {
  const missing: Array<string> = []
  for (let at = name; at !== "." && !fs.existsSync(path.join(prefix, at)); at = path.dirname(at)) missing.unshift(at)
  for (const directory of missing) {
    fs.mkdirSync(path.join(prefix, directory))
    fs.chmodSync(path.join(prefix, directory), 0o755)
  }
  return missing
}

const without = <A>(all: Readonly<Record<string, A>>, kept: (name: string) => boolean): Record<string, A> =>
  Object.fromEntries(Object.entries(all).filter(([name]) => kept(name)))

const removeFiles = (prefix: string, names: ReadonlyArray<string>): void => {
  for (const name of names) {
    fs.rmSync(path.join(prefix, name), { force: true })
    fs.rmSync(unfinished(path.join(prefix, name)), { force: true })
  }
}

/** Innermost first; one that holds something of somebody else's stays. */
const removeDirectories = (prefix: string, names: ReadonlyArray<string>): void => {
  for (const name of names.toReversed()) {
    try {
      fs.rmdirSync(path.join(prefix, name))
    } catch (error) {
      if (!["ENOENT", "ENOTEMPTY", "EEXIST"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error
    }
  }
}

/**
 * Puts `contents` below the prefix, in place of an older installation's. Each file is replaced as a whole. Cut off at any
 * point, the manifest names whatever is there, so that both installing again and removing work.
 */
export const install = (prefix: string, contents: Contents): void => {
  const before = readManifest(prefix) ?? empty
  const foreign = [...contents.keys()].filter((name) => !isOurs(prefix, before, name))
  if (foreign.length > 0) {
    const names = foreign.map((name) => path.join(prefix, name)).join("\n  ")
    throw new InstallationRefused(
      `these are not km's, or were changed; move them away, then install again:\n  ${names}`
    )
  }
  fs.mkdirSync(prefix, { recursive: true })
  const directories = [...before.directories]
  for (const name of [library, ...contents.keys()]) {
    directories.push(...makeDirectory(prefix, name === library ? name : path.dirname(name)))
  }
  const files = Object.fromEntries([...contents].map(([name, { bytes }]) => [name, [hashOf(bytes)]]))
  const both = Object.fromEntries(
    Object.keys({ ...before.files, ...files }).map((name) => [
      name,
      [...(before.files[name] ?? []), ...(files[name] ?? [])]
    ])
  )
  writeManifest(prefix, { format: 1, files: both, directories })
  for (const [name, { bytes, executable }] of contents) {
    const file = path.join(prefix, name)
    fs.rmSync(unfinished(file), { force: true })
    fs.writeFileSync(unfinished(file), bytes, { flag: "wx" })
    fs.chmodSync(unfinished(file), executable ? 0o755 : 0o644)
    fs.renameSync(unfinished(file), file)
  }
  const gone = Object.keys(without(before.files, (name) => !contents.has(name)))
  removeFiles(prefix, gone.filter((name) => isOurs(prefix, before, name)))
  writeManifest(prefix, { format: 1, files, directories })
}

/** Removes what `install` put there; returns what was changed since and therefore stays. */
export const uninstall = (prefix: string): ReadonlyArray<string> => {
  const manifest = readManifest(prefix)
  if (manifest === undefined) throw new InstallationRefused(`km is not installed in ${prefix}`)
  const names = Object.keys(manifest.files)
  const changed = names.filter((name) => !isOurs(prefix, manifest, name))
  removeFiles(prefix, names.filter((name) => !changed.includes(name)))
  fs.rmSync(path.join(prefix, cachePath), { recursive: true, force: true })
  removeFiles(prefix, [manifestPath])
  removeDirectories(prefix, manifest.directories)
  return changed.map((name) => path.join(prefix, name))
}
