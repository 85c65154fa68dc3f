/**
 * Bundles the executables into `dist/`. ESM with code splitting: `km --help` reads the command tree and nothing else, and
 * what the programs share is on disk once.
 */
import process from "node:process"
import { fileURLToPath } from "node:url"
import { writeDist } from "./writeDist.ts"

const size = (bytes: number): string => `${(bytes / 1024).toFixed(0)} KiB`

try {
  const { files, started } = await writeDist(fileURLToPath(new URL("../..", import.meta.url)))
  for (const name of started) process.stdout.write(`dist/${name}  ${size(files.get(name)?.length ?? 0)}\n`)
  const total = [...files.values()].reduce((sum, { length }) => sum + length, 0)
  process.stdout.write(`${files.size} files, ${size(total)} in all\n`)
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
