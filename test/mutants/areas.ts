/** What is mutated, and which tests are never asked about it. The one place where paths stand. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"

export const root = fileURLToPath(new URL("../..", import.meta.url))

/**
 * Each area is a folder, mutated whole, or a file, mutated with whatever it imports from its own folder: code that is
 * split off from it stays covered. Sample sizes: see `sample.ts`.
 */
export const areas: ReadonlyArray<string> = [
  "runtime/kernel",
  "bridge/events",
  "bridge/actions",
  "plugins/email/protocol",
  "runtime/domain/text/Redactor.ts"
]

/**
 * Tests that start programs. What a program does in a process of its own is not mutated (it runs what is on disk), so
 * they can only be slow here. `make test` runs them.
 */
export const wholeProcessTests: ReadonlyArray<string> = ["test/e2e", "test/claude", "test/interop", "test/km-cli/local"]

const isSource = (file: string): boolean => file.endsWith(".ts") && !file.endsWith(".d.ts")

/** Files below a directory, relative to the root, in a stable order. */
export const filesBelow = (directory: string): ReadonlyArray<string> =>
  readdirSync(path.join(root, directory), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && isSource(entry.name))
    .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)).split(path.sep).join("/"))
    .toSorted()

const importPattern = /(?:from|import)\s*\(?\s*"(\.{1,2}\/[^"]+\.ts)"/g

const imports = new Map<string, ReadonlyArray<string>>()

/** The files that a file names in its imports (types too: those cost nothing), relative to the root. */
const importsOf = (file: string): ReadonlyArray<string> => {
  const known = imports.get(file)
  if (known !== undefined) return known
  const source = existsSync(path.join(root, file)) ? readFileSync(path.join(root, file), "utf8") : ""
  const found = Array.from(
    source.matchAll(importPattern),
    (match) => path.posix.join(path.posix.dirname(file), match[1] ?? "")
  )
  imports.set(file, found)
  return found
}

/** A file and all that it imports from its own folder, itself or through others there. */
const withSiblings = (file: string): ReadonlyArray<string> => {
  const found = new Set([file])
  for (const each of found) {
    for (const imported of importsOf(each)) {
      if (path.posix.dirname(imported) === path.posix.dirname(file)) found.add(imported)
    }
  }
  return [...found].toSorted()
}

/** The files of one area. Throws where the area is gone: a moved folder is not silently left out. */
export const filesOf = (area: string): ReadonlyArray<string> =>
  statSync(path.join(root, area)).isDirectory() ? filesBelow(area) : withSiblings(area)

/** What a test file reaches through imports, and in how many steps. */
const reachedFrom = (test: string): ReadonlyMap<string, number> => {
  const known = reached.get(test)
  if (known !== undefined) return known
  const found = new Map([[test, 0]])
  for (const [each, steps] of found) {
    for (const imported of importsOf(each)) if (!found.has(imported)) found.set(imported, steps + 1)
  }
  reached.set(test, found)
  return found
}
const reached = new Map<string, ReadonlyMap<string, number>>()

/** Test files from which one of the mutated files is reached through imports. */
export const relatedTests = (mutated: ReadonlySet<string>): ReadonlyArray<string> =>
  filesBelow("test")
    .filter((file) => file.endsWith(".test.ts"))
    .filter((file) => !wholeProcessTests.some((folder) => file.startsWith(`${folder}/`)))
    .filter((file) => [...reachedFrom(file).keys()].some((each) => mutated.has(each)))

/** How many folders of a test's path are those of a source's, from the root on: the tests mirror the rooms. */
const sharedFolders = (test: string, source: string): number => {
  const own = path.posix.dirname(test).split("/").slice(1)
  const other = path.posix.dirname(source).split("/")
  const apart = own.findIndex((folder, index) => folder !== other[index])
  return apart === -1 ? own.length : apart
}

const named = (file: string): string => (path.posix.basename(file).split(".")[0] ?? "").toLowerCase()

/**
 * Test files in the order in which they are most likely to notice a change of the source: the one of its name, then those
 * that import it themselves, then by folder, then by how few imports lie between.
 */
export const nearestFirst = (source: string, tests: ReadonlyArray<string>): ReadonlyArray<string> => {
  const place = (test: string): readonly [number, number, number, number] => {
    const steps = reachedFrom(test).get(source) ?? Infinity
    return [named(test) === named(source) ? 0 : 1, steps === 1 ? 0 : 1, -sharedFolders(test, source), steps]
  }
  return tests.map((test) => ({ test, place: place(test) }))
    .toSorted((a, b) =>
      a.place[0] - b.place[0] || a.place[1] - b.place[1] || a.place[2] - b.place[2] || a.place[3] - b.place[3] ||
      (a.test < b.test ? -1 : 1)
    )
    .map(({ test }) => test)
}

/** A failure's text without what only this machine has: stack lines, and where the repository and its files are. */
export const portable = (text: string, places: ReadonlyArray<string>): string =>
  [...places, root.replace(/\/$/, "")].reduce(
    (shown, place) => shown.replaceAll(`file://${place}/`, "").replaceAll(`${place}/`, "").replaceAll(place, "."),
    text.replaceAll(/\n\s+at .*/g, "")
  )
