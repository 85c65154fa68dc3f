/** Typical changes as somebody would make them: a folder that is put into a copy of the tree, and lines in its lists. */
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { treeOfRooms } from "./leftOut.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const sketches = path.join("test", "sketches")

export interface Sketch {
  /** Of the change, as the architecture document names it. */
  readonly change: string
  /** Below `test/sketches`, and there at the same place in the tree. */
  readonly folder: string
  /** A file of the tree → what stands there → what stands there then. */
  readonly lines: Readonly<Record<string, ReadonlyArray<readonly [string, string]>>>
}

/** From a file that has moved, the same imports. */
const moved = (source: string, from: string, to: string): string =>
  source.replaceAll(/(from ")(\.{1,2}\/[^"]+)(")/g, (_, before: string, specifier: string, after: string) => {
    const target = path.normalize(path.join(path.dirname(from), specifier))
    if (target.startsWith(sketches + path.sep)) return `${before}${specifier}${after}`
    const there = path.relative(path.dirname(to), target)
    return `${before}${there.startsWith(".") ? there : `./${there}`}${after}`
  })

/** A tree with these; fails where a line is not there to be changed, or a folder is there already. Scoped. */
export const treeWith = Effect.fnUntraced(function*(changes: ReadonlyArray<Sketch>) {
  const tree = yield* treeOfRooms
  for (const { change, folder, lines } of changes) {
    const from = path.join(root, sketches, folder)
    for (const name of fs.readdirSync(from)) {
      const to = path.join(tree, folder, name)
      if (fs.existsSync(to)) return yield* Effect.die(new Error(`${change}: ${path.join(folder, name)} is there`))
      fs.mkdirSync(path.dirname(to), { recursive: true })
      const source = fs.readFileSync(path.join(from, name), "utf8")
      fs.writeFileSync(to, moved(source, path.join(sketches, folder, name), path.join(folder, name)))
    }
    for (const [file, replacements] of Object.entries(lines)) {
      const place = path.join(tree, file)
      let text = fs.readFileSync(place, "utf8")
      for (const [was, is] of replacements) {
        if (text.split(was).length !== 2) return yield* Effect.die(new Error(`${change}: ${file} has not: ${was}`))
        text = text.replace(was, () => is)
      }
      fs.writeFileSync(place, text)
    }
  }
  return tree
})
