/** A browser that is a script: for commands that lead a person through pages of GitHub's. */
import * as fs from "node:fs"
import * as path from "node:path"

/** Opens the page that km serves, posts its form to GitHub, follows back; as a browser does, without asking anybody. */
const browser = `#!/usr/bin/env node
const page = await (await fetch(process.argv[2])).text()
const unescape = (text) => text.replaceAll("&quot;", '"').replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&#39;", "'").replaceAll("&amp;", "&")
const action = unescape(/action="([^"]*)"/.exec(page)[1])
const manifest = unescape(/name="manifest" value="([^"]*)"/.exec(page)[1])
await fetch(action, { method: "POST", body: new URLSearchParams({ manifest }) })
`

/** Writes the program into the directory; returns its path, for `BROWSER`. */
export const writeBrowser = (directory: string): string => {
  const script = path.join(directory, "browser.mjs")
  fs.writeFileSync(script, browser, { mode: 0o755 })
  return script
}
