/** Before the first test of a run: `dist/` is what the sources say, so no test starts a stale program. */
import { fileURLToPath } from "node:url"
import { writeDist } from "../../km-cli/build/writeDist.ts"

export default async (): Promise<void> => {
  await writeDist(fileURLToPath(new URL("../..", import.meta.url)))
}
