/**
 * Writes `profiles/profile.schema.json` from the Effect Schema, so that editors complete and check what `km validate`
 * accepts. `node km-cli/build/profileSchema.ts` writes it; with `--check` it only says whether the file is stale.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { profileJsonSchema } from "../../profiles/ProfileJsonSchema.ts"
import { agentKinds } from "../../runtime/adapters/agents.ts"

const target = fileURLToPath(new URL("../../profiles/profile.schema.json", import.meta.url))

if (process.argv.includes("--check")) {
  if (readFileSync(target, "utf8") !== profileJsonSchema(agentKinds)) {
    process.stderr.write("profiles/profile.schema.json is stale; run: node km-cli/build/profileSchema.ts\n")
    process.exitCode = 1
  }
} else {
  writeFileSync(target, profileJsonSchema(agentKinds))
}
