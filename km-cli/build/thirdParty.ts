/** The licences of what is bundled, which their authors ask to be passed on with it. */
import { readdirSync, readFileSync } from "node:fs"
import * as path from "node:path"

/** Files in which packages keep what has to be passed on. */
const legal = /^(licen[cs]e|copying|notice|third[-_]party)/i

/** `node_modules/a/b.js` → `node_modules/a`, at any depth and with scopes. */
const packageOf = (input: string): string | undefined => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0]

/** One text with the name, version, licence and notices of each package that the inputs come from. */
export const thirdParty = (root: string, inputs: ReadonlyArray<string>): string => {
  const packages = [...new Set(inputs.flatMap((input) => packageOf(input) ?? []))].toSorted()
  const entries = packages.map((directory) => {
    const at = path.join(root, directory)
    const { license, name, version }: { license?: string; name: string; version: string } = JSON.parse(
      readFileSync(path.join(at, "package.json"), "utf8")
    )
    const texts = readdirSync(at).filter((file) => legal.test(file)).toSorted().map((file) =>
      readFileSync(path.join(at, file), "utf8").trim()
    )
    if (license === undefined && texts.length === 0) throw new Error(`${name} names no licence; it may not be bundled`)
    return [`${name} ${version} (${license ?? "see below"})`, ...texts].join("\n\n")
  })
  return `km contains parts of these packages.\n\n${entries.join(`\n\n${"-".repeat(80)}\n\n`)}\n`
}
