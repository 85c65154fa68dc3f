/** What people run, for tests that start it; `buildOnce.ts` makes it before the first test. */
import { fileURLToPath } from "node:url"

const dist = fileURLToPath(new URL("../../dist/", import.meta.url))

/** Absolute path of a bundled program. */
export const bundled = (
  name:
    | "km.mjs"
    | "km-runtime.mjs"
    | "km-bridge.mjs"
    | "km-control.mjs"
    | "km-smtp.mjs"
    | "km-hook.cjs"
    | "km-attach.cjs"
    | "km-send.cjs"
    | "km-recv.cjs"
    | "km-entrypoint.cjs"
): string => dist + name
