/** The programs that sandboxes run: where they are, which version, and whether they are the ones that were installed. */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { installedManifest, sidecarFile, type SidecarName, sidecarNames } from "./Programs.ts"

export interface Sidecar {
  readonly name: SidecarName
  readonly file: string
  /** SHA-256, hex; undefined where there is no such file. */
  readonly sha256: string | undefined
}

export interface SidecarReport {
  readonly programs: ReadonlyArray<Sidecar>
  /** Files of the installation that are missing or changed, absolute; undefined in a checkout, which has no list of them. */
  readonly changed: ReadonlyArray<string> | undefined
}

const Manifest = Schema.fromJsonString(
  Schema.Struct({ files: Schema.Record(Schema.String, Schema.Array(Schema.String)) })
)
const decode = Schema.decodeUnknownOption(Manifest)

const hashOf = (file: string): string | undefined => {
  try {
    return createHash("sha256").update(fs.readFileSync(file)).digest("hex")
  } catch {
    return undefined
  }
}

/** Against what `make install` wrote down: the programs share files, and Node came with them. */
const changedFiles = (): ReadonlyArray<string> | undefined => {
  const place = installedManifest()
  if (place === undefined) return undefined
  const manifest = Option.getOrUndefined(decode(fs.readFileSync(place.file, "utf8")))
  if (manifest === undefined) return [place.file]
  return Object.entries(manifest.files)
    .map(([name, hashes]) => ({ file: path.join(place.prefix, name), hashes }))
    .filter(({ file, hashes }) => !hashes.includes(hashOf(file) ?? ""))
    .map(({ file }) => file)
}

/** Reads every file whole. */
export const sidecarReport = (): SidecarReport => ({
  programs: sidecarNames.map((name) => {
    const file = sidecarFile(name)
    return { name, file, sha256: hashOf(file) }
  }),
  changed: changedFiles()
})
