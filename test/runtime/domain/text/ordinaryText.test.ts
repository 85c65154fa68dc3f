/** What a redactor must leave alone: this repository's own code and documents are full of names that look odd. */
import { assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { makeRedactor } from "../../../../runtime/domain/text/Redactor.ts"

const root = Path.resolve(import.meta.dirname, "../../../..")
const rooms = ["runtime", "bridge", "plugins", "hooks", "km-cli", "infra-sam", "profiles", "docs", "test/bench"]
const single = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "package.json", "package-lock.json"]

const filesBelow = (directory: string): ReadonlyArray<string> =>
  Fs.readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(ts|md|ya?ml|json|sh|txt)$/.test(entry.name))
    .map((entry) => Path.join(entry.parentPath, entry.name))

describe("ordinary text", () => {
  const { jsonLine, text } = makeRedactor([])
  const files = [
    ...rooms.flatMap((room) => filesBelow(Path.join(root, room))),
    ...single.map((f) => Path.join(root, f))
  ]
    // The shapes themselves are written there, and the words of tests that failed, with what they tried.
    .filter((file) => !file.endsWith("TokenShapes.ts") && !/results\/mutants\b.*\.json$/.test(file))

  it("stays as it is, as text and within a line of JSON", () => {
    assert.isAbove(files.length, 200)
    for (const file of files) {
      const content = Fs.readFileSync(file, "utf8")
      assert.strictEqual(text(content), content, file)
      const line = JSON.stringify({ type: "user", message: { content } })
      assert.strictEqual(jsonLine(line), line, file)
    }
  })

  it("stays when it is coded: base64, hexadecimal, and what tools print", () => {
    const bytes = Buffer.from(
      Array.from({ length: 60_000 }, (_, index) => (index * 7919 + (index >> 3) * 104_729) % 251)
    )
    for (
      const coded of [
        bytes.toString("base64"),
        bytes.toString("hex"),
        bytes.toString("base64").replace(/.{76}/g, "$&\n")
      ]
    ) {
      assert.strictEqual(text(coded), coded)
    }
    for (
      const printed of [
        "-rw-r--r-- 1 root root 1234 Nov 30 07:00 task-definition-of-the-service-2026-11-30.json",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08  ./risk-model_v2.bin",
        "index 83db48f..bf2b5a1 100644\n--- a/src/disk-usage.ts\n+++ b/src/disk-usage.ts\n@@ -1,7 +1,9 @@",
        "    at Object.<anonymous> (/app/node_modules/.pnpm/desk-client@1.2.3/node_modules/desk-client/index.js:1:1)",
        "postgres://localhost:5432/db?user=app and http://[::1]:8080/ and git@github.com:owner/name.git",
        "│ ✓ built in 1.23s │ ████████ 100% │"
      ]
    ) assert.strictEqual(text(printed), printed)
  })
})
