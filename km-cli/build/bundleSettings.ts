/** How everything that people run is bundled; the tests that ask a bundle itself are bundled in the same way. */
import type { BuildOptions } from "esbuild"
import { globSync } from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"

/** ESM for the oldest Node that `engines` of package.json takes, minified, with what is shared on disk once. */
export const programSettings = {
  outExtension: { ".js": ".mjs" },
  chunkNames: "chunks/[name]-[hash]",
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node22.19",
  minify: true,
  keepNames: false,
  legalComments: "none",
  logLevel: "warning"
} as const satisfies BuildOptions

/**
 * The agent's programs: a file each, because the jail shows them to the agent one by one. CommonJS, because an agent waits
 * for them, and Node starts that 5 ms sooner than a module that imports the same parts of Node.
 */
export const agentProgramSettings = {
  outExtension: { ".js": ".cjs" },
  bundle: true,
  format: "cjs",
  platform: "node",
  target: "node22.19",
  minify: true,
  legalComments: "none",
  logLevel: "warning"
} as const satisfies BuildOptions

/** Programs that open the database: each is the few lines of `entryOf`, which load `chunks/NAME-main.mjs`. */
export const entries = ["km", "km-runtime", "km-control", "km-smtp", "km-bridge"] as const

/** Output name → source. */
export const programs = {
  "chunks/km-main": "km-cli/main.ts",
  "chunks/km-runtime-main": "runtime/sandbox/main.ts",
  "chunks/km-control-main": "runtime/control/main.ts",
  "chunks/km-smtp-main": "runtime/adapters/smtp/main.ts",
  "chunks/km-bridge-main": "bridge/main.ts"
}

/** A plugin's program lies in `plugins/{id}/{name}/main.ts` and is called `km-{name}`. */
const pluginPrograms = globSync("plugins/*/*/main.ts", { cwd: fileURLToPath(new URL("../..", import.meta.url)) })
  .toSorted().map((file) => [`km-${path.basename(path.dirname(file))}`, file] as const)

export const agentPrograms: Readonly<Record<string, string>> = {
  "km-hook": "hooks/main.ts",
  ...Object.fromEntries(pluginPrograms),
  "km-entrypoint": "runtime/adapters/jail/entrypoint/main.ts"
}

/**
 * CommonJS packages ask for `require`, which an ES module does not have; esbuild's own helper takes one that is in scope.
 * Only the file that holds the helper gets it: in every chunk it would cost each start a few milliseconds.
 */
export const withRequire = (text: string): string =>
  text.includes("Dynamic require of")
    ? `import{createRequire as __kmRequire}from"node:module";const require=__kmRequire(import.meta.url);${text}`
    : text

/**
 * A program may be started with the wrong Node, so the check comes before anything that an old one cannot load. Before 24,
 * Node calls its SQLite experimental on standard error, which is no line of JSON. `needed` is `major.minor`.
 *
 * `km` is started by hand and by shells that complete, so its start counts: V8's compiled code is kept beside the bundle
 * (and silently not, where that directory may not be written). The others start once, perhaps as another user.
 */
export const entryOf = (name: typeof entries[number], needed: string): string =>
  `#!/usr/bin/env node
const[a,b]=process.versions.node.split(".").map(Number),[c,d]="${needed}".split(".").map(Number);
if(a<c||a===c&&b<d){process.stderr.write("${name} needs Node ${needed} or newer, this is "+process.version+".\\n  next: install a newer Node, or run make install, which brings its own\\n");process.exit(1)}
if(a<24){const w=process.listeners("warning");process.removeAllListeners("warning").on("warning",e=>{if(e.name!=="ExperimentalWarning")for(const l of w)l(e)})}
${
    name === "km"
      ? `const{enableCompileCache}=await import("node:module"),{fileURLToPath}=await import("node:url");
enableCompileCache(fileURLToPath(new URL("./cache",import.meta.url)));`
      : ""
  }await import("./chunks/${name}-main.mjs");
`
