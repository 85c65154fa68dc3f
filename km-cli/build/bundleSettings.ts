/** How everything that people run is bundled; the tests that ask a bundle itself are bundled in the same way. */
import type { BuildOptions } from "esbuild"

/** ESM for Node 24, minified, with what is shared on disk once. `emulate` stays outside: it is for trying and testing. */
export const programSettings = {
  outExtension: { ".js": ".mjs" },
  chunkNames: "chunks/[name]-[hash]",
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node24",
  minify: true,
  keepNames: false,
  legalComments: "none",
  external: ["emulate"],
  logLevel: "warning"
} as const satisfies BuildOptions

/**
 * CommonJS packages ask for `require`, which an ES module does not have; esbuild's own helper takes one that is in scope.
 * Only the file that holds the helper gets it: in every chunk it would cost each start a few milliseconds.
 */
export const withRequire = (text: string): string =>
  text.includes("Dynamic require of")
    ? `import{createRequire as __kmRequire}from"node:module";const require=__kmRequire(import.meta.url);${text}`
    : text
