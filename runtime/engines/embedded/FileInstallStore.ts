/** The install's settings in `install.json`, and the heads of its audit in a file each below `audit-heads/`. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import * as path from "node:path"
import {
  errorCode,
  fileEffect,
  isTemporary,
  makeDirectory,
  writeFileAtomically
} from "../../adapters/disk/PrivateFiles.ts"
import { readInstall, statePaths, writeInstall } from "../../adapters/disk/StateDirectory.ts"
import { ChainHead } from "../../domain/install/Audit.ts"
import { headRefused, InstallMissing, InstallStore } from "../../ports/InstallStore.ts"
import { StoreError } from "../../ports/StoreError.ts"

const HeadFile = Schema.fromJsonString(ChainHead)
const decodeHead = Schema.decodeUnknownOption(HeadFile)
const encodeHead = Schema.encodeSync(HeadFile)

/** No head is longer. */
const maxHeadBytes = 4096

const readHead = (file: string): ChainHead => {
  const size = fs.statSync(file).size
  const head = size > maxHeadBytes ? Option.none() : decodeHead(fs.readFileSync(file, "utf8"))
  if (Option.isSome(head)) return head.value
  throw new StoreError({
    port: "InstallStore",
    operation: "heads",
    reason: "Corrupt",
    detail: `${file} cannot be understood`,
    cause: undefined
  })
}

const namesIn = (directory: string): ReadonlyArray<string> => {
  try {
    return fs.readdirSync(directory).filter((name) => !isTemporary(name)).toSorted()
  } catch (cause) {
    if (errorCode(cause) === "ENOENT") return []
    throw cause
  }
}

const asStore = (operation: string) => (error: { readonly code: string; readonly message: string }) =>
  new StoreError({
    port: "InstallStore",
    operation,
    reason: error.code === "KM-ENG-007" ? "Corrupt" : "Unavailable",
    detail: error.message,
    cause: error
  })

const make = (root: string): InstallStore["Service"] => {
  const { auditHeads } = statePaths(root)
  const fileOf = (chain: string) => path.join(auditHeads, `${chain}.json`)
  return InstallStore.of({
    get: Effect.mapError(
      readInstall(root),
      (error) => error.code === "KM-ENG-006" ? new InstallMissing({ where: root }) : asStore("get")(error)
    ),
    put: (install) => Effect.mapError(writeInstall(root, install), asStore("put")),
    heads: fileEffect(
      "InstallStore",
      "heads",
      () => namesIn(auditHeads).map((name) => readHead(path.join(auditHeads, name)))
    ),
    putHead: (head) =>
      fileEffect("InstallStore", "putHead", () => {
        makeDirectory(auditHeads)
        const file = fileOf(head.chain)
        const refused = headRefused(fs.existsSync(file) ? readHead(file) : undefined, head)
        if (refused !== undefined) throw refused
        writeFileAtomically(file, `${encodeHead(head)}\n`)
      })
  })
}

/** Makes nothing before something is put. */
export const layer = (root: string): Layer.Layer<InstallStore> => Layer.sync(InstallStore, () => make(root))
