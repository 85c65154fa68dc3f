/** Puts the bundles into `dist/`, where nothing is touched that is already so. */
import { execFileSync } from "node:child_process"
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync
} from "node:fs"
import * as path from "node:path"
import process from "node:process"
import { type Bundles, makeBundles } from "./makeBundles.ts"

/** V8's compiled code, which `km` itself keeps there. */
const cache = "cache"

const filesBelow = (directory: string): ReadonlyArray<string> =>
  existsSync(directory)
    ? readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) =>
      path.relative(directory, path.join(entry.parentPath, entry.name))
    ).filter((file) => !file.startsWith(`${cache}${path.sep}`))
    : []

const isCurrent = (dist: string, { files }: Bundles): boolean => {
  const there = filesBelow(dist)
  return there.length === files.size && there.every((file) => {
    const wanted = files.get(file)
    return wanted !== undefined && readFileSync(path.join(dist, file)).equals(wanted)
  })
}

/**
 * Makes `dist/` what the sources say. A new one takes the place of the old one as a whole, so that programs which start
 * meanwhile never see half of it.
 */
export const writeDist = async (root: string): Promise<Bundles> => {
  const bundles = await makeBundles(root)
  const dist = path.join(root, "dist")
  if (isCurrent(dist, bundles)) return bundles
  const fresh = mkdtempSync(path.join(root, "dist."))
  for (const [file, contents] of bundles.files) {
    mkdirSync(path.dirname(path.join(fresh, file)), { recursive: true })
    writeFileSync(path.join(fresh, file), contents, { mode: bundles.started.includes(file) ? 0o755 : 0o644 })
  }
  chmodSync(fresh, 0o755)
  const old = `${fresh}.old`
  if (existsSync(dist)) renameSync(dist, old)
  renameSync(fresh, dist)
  rmSync(old, { recursive: true, force: true })
  // The first run fills the cache.
  execFileSync(process.execPath, [path.join(dist, "km.mjs"), "--help"], { stdio: "ignore" })
  return bundles
}
