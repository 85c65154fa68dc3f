/** The house without one of its plugins: a copy of the tree where the folder is not there and the list does not name it. */
import { Effect } from "effect"
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import process from "node:process"
import { fileURLToPath } from "node:url"
import { temporaryDirectory } from "./temporaryDirectory.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

const rooms = ["runtime", "plugins", "hooks", "bridge", "km-cli", "profiles", "infra-sam"]

/** By their folders, which are called as their ids. */
export const pluginIds: ReadonlyArray<string> = fs.readdirSync(path.join(root, "plugins"), { withFileTypes: true })
  .flatMap((entry) => entry.isDirectory() ? [entry.name] : [])

/** The list of plugins without the lines of one: its imports, and what stands for it further down. */
export const listWithout = (list: string, id: string): string => {
  const folder = `"./${id}/`
  const names = list.split("\n").filter((line) => line.startsWith("import ") && line.includes(folder))
    .flatMap((line) => [...line.matchAll(/\b[A-Z]\w+\b/g)].map(([name]) => name))
  return list.split("\n")
    .filter((line) => !line.includes(folder) && !names.some((name) => new RegExp(`\\b${name}\\b`).test(line)))
    .join("\n")
}

const typescriptBelow = (directory: string): ReadonlyArray<string> =>
  fs.readdirSync(directory, { recursive: true, withFileTypes: true })
    .flatMap((entry) => entry.isFile() && entry.name.endsWith(".ts") ? [path.join(entry.parentPath, entry.name)] : [])

/** Files below `test/` that need the plugin, also by others: they are about it, or about it and something else together. */
export const testsOf = (id: string): ReadonlySet<string> => {
  const test = path.join(root, "test")
  const plugin = path.join(root, "plugins", id) + path.sep
  const imports = new Map(
    typescriptBelow(test).map((file) => {
      const found = fs.readFileSync(file, "utf8").matchAll(/(?:from|import\(|import)\s*"(\.{1,2}\/[^"]+)"/g)
      return [file, [...found].map(([, to = ""]) => path.resolve(path.dirname(file), to))] as const
    })
  )
  const own = path.join(test, "plugins", id) + path.sep
  const needing = new Set([...imports.keys()].filter((file) => file.startsWith(own)))
  for (let before = -1; before !== needing.size;) {
    before = needing.size
    for (const [file, to] of imports) {
      if (to.some((one) => one.startsWith(plugin) || needing.has(one))) needing.add(file)
    }
  }
  return new Set([...needing].map((file) => path.relative(root, file)))
}

/** A copy of all rooms without tests, which can be type-checked and started. Scoped. */
export const treeOfRooms = Effect.gen(function*() {
  const tree = yield* temporaryDirectory
  const settings = fs.readFileSync(path.join(root, "tsconfig.json"), "utf8")
  for (const room of rooms) fs.cpSync(path.join(root, room), path.join(tree, room), { recursive: true })
  for (const file of ["package.json", "vitest.config.ts"]) fs.copyFileSync(path.join(root, file), path.join(tree, file))
  fs.symlinkSync(path.join(root, "node_modules"), path.join(tree, "node_modules"))
  fs.writeFileSync(path.join(tree, "tsconfig.json"), JSON.stringify({ ...JSON.parse(settings), include: rooms }))
  return tree
})

/** Scoped. With `tests`, those that do not need the plugin are there and checked too. */
export const treeWithout = Effect.fnUntraced(function*(id: string, tests: boolean) {
  const tree = yield* treeOfRooms
  const settings = fs.readFileSync(path.join(tree, "tsconfig.json"), "utf8")
  fs.rmSync(path.join(tree, "plugins", id), { recursive: true })
  const list = path.join(tree, "plugins", "index.ts")
  fs.writeFileSync(list, listWithout(fs.readFileSync(list, "utf8"), id))
  if (tests) {
    fs.cpSync(path.join(root, "test"), path.join(tree, "test"), { recursive: true })
    for (const file of testsOf(id)) fs.rmSync(path.join(tree, file))
    // Tests hold documents to the code.
    fs.symlinkSync(path.join(root, "docs"), path.join(tree, "docs"))
    fs.writeFileSync(
      path.join(tree, "tsconfig.json"),
      JSON.stringify({ ...JSON.parse(settings), include: [...rooms, "test"] })
    )
  }
  return tree
})

/** What a program of the tree's `node_modules` says, and how it ended. */
export const ranIn = (tree: string, program: string, args: ReadonlyArray<string>) =>
  Effect.callback<{ readonly exit: number | string; readonly said: string }>((resume) => {
    const child = execFile(
      process.execPath,
      [path.join(tree, "node_modules", program), ...args],
      { cwd: tree, maxBuffer: 64 * 1024 * 1024 },
      (error, stdout, stderr) => resume(Effect.succeed({ exit: error?.code ?? 0, said: `${stdout}${stderr}` }))
    )
    return Effect.sync(() => void child.kill())
  })
