/** What `km-send` takes for a file: nothing that has no end, or may never begin. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync, spawnSync } from "node:child_process"
import * as path from "node:path"
import process from "node:process"
import { bundled } from "../../support/bundled.ts"
import { temporaryDirectory } from "../../support/temporaryDirectory.ts"

const sent = (...words: ReadonlyArray<string>) => {
  const { status, stderr } = spawnSync(
    process.execPath,
    [bundled("km-send.cjs"), "--to", "operator", "--subject", "x", ...words],
    { encoding: "utf8", stdio: ["ignore", "ignore", "pipe"] }
  )
  return { status, said: stderr.split("\n").slice(0, 2) }
}

describe("km-send", () => {
  it.effect("attaches regular files only, and waits for no pipe", () =>
    Effect.gen(function*() {
      const pipe = path.join(yield* temporaryDirectory, "pipe")
      execFileSync("mkfifo", [pipe])
      for (const file of [pipe, "/dev/zero", path.dirname(pipe)]) {
        assert.deepStrictEqual(sent("--attach", file), {
          status: 1,
          said: ["error KM-EML-109: A file cannot be read or written.", `  why:  ${file} is no regular file`]
        })
      }
    }).pipe(Effect.scoped))

  it("reads no body that has no end", () => {
    const { said, status } = sent("--body", "/dev/zero")
    assert.deepStrictEqual([status, said[1]], [1, "  why:  /dev/zero has more than 134217728 bytes"])
  })
})
