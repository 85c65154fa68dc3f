/** Makes everything that people run, in memory: the files of `dist/` and what went into them. */
import { build, type Metafile, type OutputFile } from "esbuild"
import { execFileSync } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import * as path from "node:path"
import {
  agentPrograms,
  agentProgramSettings,
  entries,
  entryOf,
  programs,
  programSettings,
  withRequire
} from "./bundleSettings.ts"
import { thirdParty } from "./thirdParty.ts"

export interface Bundles {
  /** Path below `dist/` → contents. */
  readonly files: ReadonlyMap<string, Uint8Array>
  /** Names of the files that are started. */
  readonly started: ReadonlyArray<string>
  /** Of the programs that are split into chunks. */
  readonly metafile: Metafile
}

/** Anything that lets a test reach into a running program; none may be in what people run. */
const forbidden = [/KM_FAILPOINT/, /KM_TEST_/, /failpoint/i, /test\/support/]

const git = (root: string, ...args: ReadonlyArray<string>): string => {
  try {
    return execFileSync("git", ["-C", root, ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim()
  } catch {
    return ""
  }
}

/** The commit and its date, not the day of the build: the same sources make the same bytes. Empty without git. */
const commitOf = (root: string): { readonly commit: string; readonly date: string } =>
  path.resolve(git(root, "rev-parse", "--show-toplevel") || "/") === path.resolve(root)
    ? {
      commit: git(root, "describe", "--always", "--dirty", "--exclude=*"),
      date: git(root, "show", "--no-patch", "--format=%cs", "HEAD")
    }
    : { commit: "unknown commit", date: "" }

/**
 * Whoever imports a CommonJS package lazily gets a module with nothing but a default export once it is bundled, and its
 * names under Node: the program would work from source only.
 */
const lazyCommonJs = ({ inputs }: Metafile): ReadonlyArray<string> =>
  Object.entries(inputs).flatMap(([importer, { imports }]) =>
    imports.filter(({ kind, path: imported }) =>
      kind === "dynamic-import" && !importer.startsWith("node_modules/") && inputs[imported]?.format === "cjs"
    ).map(({ path: imported }) => `${importer} imports ${imported} lazily, which is CommonJS: re-export its names`)
  )

/** The emulator reads its fonts, which lie beside its modules, when it is loaded. */
const fontsOf = (root: string): ReadonlyArray<readonly [string, Uint8Array]> => {
  const directory = path.join(root, "node_modules/emulate/dist/fonts")
  return readdirSync(directory).map((name) => [`chunks/fonts/${name}`, readFileSync(path.join(directory, name))])
}

/** Fails with a sentence where the outcome may not be run by people. */
export const makeBundles = async (root: string): Promise<Bundles> => {
  const from = (sources: Readonly<Record<string, string>>) =>
    Object.fromEntries(Object.entries(sources).map(([name, file]) => [name, path.join(root, file)]))
  const outdir = path.join(root, "dist")
  const common = {
    absWorkingDir: root,
    outdir,
    write: false,
    metafile: true,
    define: { kmCommit: JSON.stringify(commitOf(root)) }
  } as const
  const [split, alone] = await Promise.all([
    build({ ...programSettings, ...common, entryPoints: from(programs) }),
    build({ ...agentProgramSettings, ...common, entryPoints: from(agentPrograms) })
  ])
  const text = ({ path: file, text: raw }: OutputFile): readonly [string, Uint8Array] => {
    const found = forbidden.find((pattern) => pattern.test(raw))
    if (found !== undefined) throw new Error(`${file} holds ${String(found)}: a test hook must not be bundled`)
    return [path.relative(outdir, file), Buffer.from(withRequire(raw))]
  }
  const problems = lazyCommonJs(split.metafile)
  if (problems.length > 0) throw new Error(problems.join("\n"))
  const { engines }: { engines: { node: string } } = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8"))
  const inputs = [...Object.keys(split.metafile.inputs), ...Object.keys(alone.metafile.inputs)]
  const files = new Map<string, Uint8Array>([
    ...entries.map((name) => [`${name}.mjs`, Buffer.from(entryOf(name, engines.node.replace(/^>=/, "")))] as const),
    ...split.outputFiles.map(text),
    ...alone.outputFiles.map(text),
    ...fontsOf(root),
    ["THIRD-PARTY-LICENSES.txt", Buffer.from(thirdParty(root, inputs))]
  ])
  const started = ["km.mjs", ...[...files.keys()].filter((name) => /^km-[a-z]+\.[mc]js$/.test(name)).toSorted()]
  return { files, started, metafile: split.metafile }
}
