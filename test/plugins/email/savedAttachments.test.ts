/** Attachments land in the directory that was named, or the system's reason why not is told. */
import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import process from "node:process"
import { fileURLToPath } from "node:url"
import { savedAttachments } from "../../../plugins/email/savedAttachments.ts"

const module = fileURLToPath(new URL("../../../plugins/email/savedAttachments.ts", import.meta.url))
const part = { name: "a.txt", bytes: Buffer.from("a") }

describe("savedAttachments", () => {
  it("makes the directory with its parents, and writes over nothing", () => {
    const root = fs.mkdtempSync(path.join(tmpdir(), "km-saved-"))
    try {
      const directory = path.join(root, "in", "today")
      assert.deepStrictEqual(savedAttachments(directory, [part, part]), [
        path.join(directory, "a.txt"),
        path.join(directory, "2-a.txt")
      ])
      assert.throws(() => savedAttachments(path.join(directory, "a.txt"), [part]), /EEXIST/)
      assert.throws(() => savedAttachments(path.join(directory, "a.txt", "below"), [part]), /ENOTDIR/)
    } finally {
      fs.rmSync(root, { recursive: true })
    }
  })

  // In a process of its own: what never ends cannot be told otherwise.
  it("ends where a directory takes no other one", () => {
    const code = `import { savedAttachments } from ${JSON.stringify(module)}
      try { savedAttachments("/proc/in", []) } catch (error) { console.log(error.code) }`
    const ran = spawnSync(process.execPath, ["--input-type=module", "-e", code], { encoding: "utf8", timeout: 300_000 })
    assert.deepInclude(ran, { signal: null, stdout: "ENOENT\n" })
  })
})
