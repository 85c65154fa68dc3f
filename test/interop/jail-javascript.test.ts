/** JavaScript's programs in the jail: npm, Node and Deno, by the proxy and without being told of it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { clientWorld } from "../support/clientWorld.ts"
import { registryUrl } from "../support/registry.ts"

const node = Fs.realpathSync(process.execPath)
const deno = Fs.realpathSync(fileURLToPath(new URL("../../node_modules/.bin/deno", import.meta.url)))

/** The npm of this machine, by which these tests were installed. */
const npm = Fs.realpathSync(execFileSync("/bin/sh", ["-c", "command -v npm"], { encoding: "utf8" }).trim())
const npmPackage = Path.dirname(Path.dirname(npm))

describe("JavaScript in the jail", () => {
  it.live("has packages from a registry that its profile names, and from no other", () =>
    Effect.gen(function*() {
      const world = yield* clientWorld({ readOnly: [npmPackage] })
      const said = yield* world.says(`
        npm() { ${node} ${npm} "$@" --silent --no-audit --no-fund --no-update-notifier --fetch-retries 0; }
        npm install --registry ${registryUrl}/npm/ km-sample && ${node} -e 'console.log(require("km-sample"))'
        npm install --registry https://elsewhere.example.com/ other || echo no other`)
      assert.include(said, "from npm")
      assert.include(said, "no other")
      assert.deepStrictEqual([...new Set(world.gitHub.resolved)], ["registry.example.com"])
    }))

  it.live("fetches and imports by Node and Deno", () =>
    Effect.gen(function*() {
      const world = yield* clientWorld({ readOnly: [Path.dirname(deno)] })
      const said = yield* world.says(`
        ${node} -e 'fetch("${registryUrl}/plain").then((r) => r.text()).then((t) => console.log("fetch", t))'
        ${node} -e 'require("https").get("${registryUrl}/plain", (r) => r.on("data", (d) => console.log("https", String(d))))'
        ${deno} eval 'import { said } from "${registryUrl}/module.ts"; console.log("deno", said)'
        ${deno} eval 'console.log("deno fetch", await (await fetch("${registryUrl}/plain")).text())'
        ${deno} eval 'await fetch("https://elsewhere.example.com/")' || echo no other`)
      for (
        const line of ["fetch the registry", "https the registry", "deno from a module", "deno fetch the registry"]
      ) {
        assert.include(said, line)
      }
      assert.include(said, "no other")
    }))
})
