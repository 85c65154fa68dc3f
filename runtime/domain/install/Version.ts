/** Which km this is. The version is that of package.json; commit and date are put in when it is bundled. */

/** Defined by `km-cli/build`: the commit, abbreviated, with `-dirty` for a changed tree, and its date, `YYYY-MM-DD`. */
declare const kmCommit: { readonly commit: string; readonly date: string } | undefined

export const version = "0.1.0"

/** `0.1.0 (1a2b3c4, 2026-11-30)`, or `0.1.0 (from source)` where nothing was bundled. */
export const fullVersion = typeof kmCommit === "undefined"
  ? `${version} (from source)`
  : `${version} (${[kmCommit.commit, kmCommit.date].filter((part) => part !== "").join(", ")})`
