/** What people run holds what the sources say, also where it is read late: each lazy import has the names of its source. */
import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { agentPrograms, entries, programs } from "../../km-cli/build/bundleSettings.ts"
import { type Bundles, makeBundles } from "../../km-cli/build/makeBundles.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** The modules, relative to the root, that a bundle may import while it runs, with the source that each is made of. */
const lazyImports = ({ outputs }: Bundles["metafile"], entry: string): ReadonlyMap<string, string> => {
  const seen = new Set<string>()
  const lazy = new Map<string, string>()
  const visit = (output: string): void => {
    if (seen.has(output)) return
    seen.add(output)
    for (const { external, kind, path: imported } of outputs[output]?.imports ?? []) {
      if (external === true) continue
      const source = outputs[imported]?.entryPoint
      if (kind === "dynamic-import" && source !== undefined) lazy.set(imported, source)
      visit(imported)
    }
  }
  visit(entry)
  return lazy
}

/** Run by a process of its own, on what is on disk: pairs of modules in, those whose names differ out. */
const compare = `
const pairs = JSON.parse(process.argv[1]), differ = []
for (const [bundled, source] of pairs) {
  const names = async (file) => Object.keys(await import(file)).filter((name) => name !== "module.exports").toSorted().join()
  try {
    const [got, wanted] = [await names(bundled), await names(source)]
    if (got !== wanted) differ.push(bundled + " has " + got + ", not " + wanted)
  } catch (error) {
    differ.push(bundled + ": " + error.message)
  }
}
process.stdout.write(JSON.stringify(differ), () => process.exit(0))
`

const bundles = makeBundles(root)

const isAws = (source: string): boolean => /runtime\/engines\/aws\/|node_modules\/@(aws-sdk|smithy)\//.test(source)

describe("the bundles", () => {
  for (const program of Object.keys(programs)) {
    it(`${program}: every lazy import loads, with the names of its source`, async () => {
      const { files, metafile } = await bundles
      // A package's own form for bundlers is not one that Node can read, to compare with.
      const pairs = [...lazyImports(metafile, `dist/${program}.mjs`)].filter(([, source]) =>
        !source.includes("/dist-es/")
      )
      for (const [file] of pairs) {
        const relative = path.relative("dist", file)
        assert.deepStrictEqual(readFileSync(path.join(root, file)), Buffer.from(files.get(relative) ?? []), relative)
      }
      const given = JSON.stringify(pairs.map((pair) => pair.map((file) => path.join(root, file))))
      const ran = spawnSync(process.execPath, ["--input-type=module", "-e", compare, given], {
        cwd: root,
        encoding: "utf8"
      })
      assert.deepStrictEqual(JSON.parse(ran.stdout), [], ran.stderr)
    })
  }

  for (const name of entries) {
    it(`${name} refuses a Node that is too old, and keeps a younger one's word on SQLite off its log`, () => {
      /** Runs it on what calls itself that Node and warns at its end. */
      const on = (version: string, warning: string) => {
        const preload = `Object.defineProperty(process.versions, "node", { value: "${version}" });
          process.on("exit", () => process.emit("warning", Object.assign(new Error("said"), { name: "${warning}" })))`
        const program = path.join(root, "dist", `${name}.mjs`)
        const args = ["--import", `data:text/javascript,${encodeURIComponent(preload)}`, program, "--version"]
        return spawnSync(process.execPath, args, { encoding: "utf8" })
      }
      const old = on("22.18.0", "ExperimentalWarning")
      assert.deepInclude(old, { status: 1, stdout: "" })
      assert.include(old.stderr, `${name} needs Node 22.19 or newer`)
      assert.deepInclude(on("22.19.0", "ExperimentalWarning"), { status: 0, stderr: "" })
      assert.include(on("22.19.0", "Warning").stderr, "said")
    })
  }

  it("km reads its commands late", async () => {
    const sources = [...lazyImports((await bundles).metafile, "dist/chunks/km-main.mjs").values()]
    assert.includeMembers(sources, [
      "profiles/Yaml.ts",
      "km-cli/commands/Create.ts",
      "node_modules/emulate/dist/api.js"
    ])
  })

  it("nothing of AWS is read before an install asks for it", async () => {
    const { outputs } = (await bundles).metafile
    /** Everything that is read with a module, and what that reads when it is asked for something, but for AWS's own. */
    const read = new Set<string>()
    const visit = (output: string): void => {
      if (read.has(output)) return
      read.add(output)
      for (const { external, kind, path: imported } of outputs[output]?.imports ?? []) {
        if (external === true || kind === "dynamic-import" && isAws(outputs[imported]?.entryPoint ?? "")) continue
        visit(imported)
      }
    }
    for (const program of Object.keys(programs)) visit(`dist/${program}.mjs`)
    const sources = [...read].flatMap((output) => Object.keys(outputs[output]?.inputs ?? {}))
    assert.include(sources, "runtime/engines/engineOf.ts")
    assert.deepStrictEqual(sources.filter(isAws), [])
    const all = Object.values(outputs).flatMap(({ inputs }) => Object.keys(inputs))
    assert.include(all, "runtime/engines/aws/openAws.ts")
  })

  it("whoever starts one gets its own version, commit and date", async () => {
    const version: unknown = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8")).version
    for (const name of (await bundles).started) {
      if (Object.hasOwn(agentPrograms, path.parse(name).name)) continue
      const ran = spawnSync(process.execPath, [path.join(root, "dist", name), "--version"], { encoding: "utf8" })
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.match(
        ran.stdout.trim(),
        /\d+\.\d+\.\d+ \(([0-9a-f]{7,40}(-dirty)?, \d{4}-\d\d-\d\d|unknown commit)\)$/,
        name
      )
      assert.include(ran.stdout, String(version))
    }
  })

  for (const program of Object.keys(agentPrograms)) {
    it(`${program} is whole by itself: the jail shows no file beside it`, async () => {
      const text = Buffer.from((await bundles).files.get(`${program}.cjs`) ?? []).toString("utf8")
      const needed = [...text.matchAll(/(?:require\(|from|import)\s*["']([\w@./:-]+)["']/g)].map(([, name = ""]) =>
        name
      )
      assert.isNotEmpty(needed)
      assert.deepStrictEqual(needed.filter((name) => !name.startsWith("node:")), [])
    })
  }
})
