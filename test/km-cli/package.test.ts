/** What `npm pack` hands on. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { installedTarball, runsWhole } from "../support/tarball.ts"

describe("the package", () => {
  it.live("holds the bundles, the profiles and the licences, and nothing else", () =>
    Effect.gen(function*() {
      const { files } = yield* installedTarball(process.execPath)
      assert.includeMembers([...files], [
        "LICENSE",
        "dist/THIRD-PARTY-LICENSES.txt",
        "dist/chunks/km-main.mjs",
        "dist/km.mjs",
        "dist/km-send.cjs",
        "profiles/demo.yaml"
      ])
      const odd = files.filter((name) =>
        !/^(dist\/(?!cache\/)|profiles\/|(LICENSE|README\.md|package\.json)$)/.test(name)
      )
      assert.deepStrictEqual(odd, [])
      assert.deepStrictEqual(files.filter((name) => /\.(ts|map)$/.test(name)), [])
    }))

  it.live("runs in an empty directory, installed without a registry", () => runsWhole(process.execPath))
})
