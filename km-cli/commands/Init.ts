/** `km init`: makes the install and checks it; `--sidecars` checks the programs that its sandboxes run. Both can be repeated. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import process from "node:process"
import type { Install } from "../../runtime/domain/install/Install.ts"
import { fullVersion } from "../../runtime/domain/install/Version.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import type { Backend } from "../Backend.ts"
import type { KmSettings } from "../Configuration.ts"
import { kmError } from "../KmError.ts"
import { opened } from "../Opened.ts"
import { columns, data } from "../Output.ts"
import { sidecarReport } from "../Sidecars.ts"
import { foundInstall, makeInstall, needOperatorKey, withBridge } from "../up/FirstRun.ts"
import * as UpFile from "../up/UpFile.ts"

/** What the two flags of AWS would do elsewhere. */
const awsOf = ({ aws, engine }: Pick<Install, "engine" | "aws">) =>
  engine !== "aws" || aws === undefined
    ? "nothing to do: the engine is embedded, no step belongs to AWS"
    : `tables and bucket are there, in ${aws.accountId}, ${aws.endpoint ?? aws.region}`

/** The install that is there, made where it is missing; KM-CLI-042 where a person named another one. */
export const ensureInstall = Effect.fn("km.init.ensure")(function*(backend: Backend, config: KmSettings) {
  const before = yield* foundInstall(backend)
  if (before !== undefined && config.installGiven && before.install !== config.install) {
    return yield* kmError(
      "KM-CLI-042",
      `${backend.paths.root} holds the install ${before.install}, not ${config.install}`,
      "each install has a directory of its own"
    )
  }
  if (before !== undefined) {
    const settled = withBridge(before, config.bridge)
    if (settled !== before) yield* backend.writeInstall(settled)
    return { install: settled, made: false }
  }
  return yield* Effect.scoped(Effect.gen(function*() {
    // The lock lies in the state directory, which opening the engine makes.
    yield* Effect.provide(Sandboxes, backend.ports("long"))
    yield* backend.lock
    const made = withBridge(yield* makeInstall(backend, config.install, undefined), config.bridge)
    yield* backend.writeInstall(made)
    return { install: made, made: true }
  }))
})

const ofInstall = Effect.fnUntraced(function*() {
  const { backend, config } = yield* opened
  const { install, made } = yield* ensureInstall(backend, config)
  yield* Effect.provide(needOperatorKey, backend.ports("short"))
  const rows = yield* Effect.provide(Effect.flatMap(Sandboxes, (sandboxes) => sandboxes.list), backend.ports("long"))
  const up = yield* UpFile.running(backend.paths.run)
  const engine = install.engine ?? "embedded"
  const workspace = install.local
    ? "local; km slack init connects a real one"
    : `${install.teamId ?? "not known yet"} at ${install.slackApiUrl}`
  yield* data(
    columns([
      ["install", `${install.install} in ${backend.paths.root} (${made ? "made" : "was there"})`],
      ["engine", `${engine}: opened and checked, ${rows.length} sandboxes`],
      ["keys", "certifier, operator, links to files"],
      ["bridge", install.bridgeUrl],
      ["public", install.bridge?.publicUrl ?? "not reached from outside"],
      ["slack", workspace],
      ["aws", awsOf(install)],
      ["next", Option.isSome(up) ? "km status" : "km up --detach"]
    ]),
    {
      ok: true,
      made,
      install: install.install,
      state: backend.paths.root,
      engine,
      bridgeUrl: install.bridgeUrl,
      publicUrl: install.bridge?.publicUrl ?? null,
      local: install.local,
      sandboxes: rows.length,
      aws: install.aws ?? null
    }
  )
})

const ofSidecars = Effect.fnUntraced(function*() {
  const { backend } = yield* opened
  const { changed, programs } = yield* Effect.sync(sidecarReport)
  const claude = yield* Effect.result(backend.claude)
  const jail = yield* backend.jail
  const rows = [
    ["node", process.versions.node, process.execPath, ""],
    ...programs.map(({ file, name, sha256 }) => [name, fullVersion, file, sha256 ?? "MISSING"]),
    claude._tag === "Success"
      ? ["claude", claude.success.version, claude.success.command, ""]
      : ["claude", "MISSING", claude.failure.next, ""],
    ["jail", jail.jails ? jail.detail : `none: ${jail.detail}`, jail.remedy, ""]
  ]
  const wrong = [
    ...programs.flatMap(({ file, sha256 }) => sha256 === undefined ? [file] : []),
    ...changed ?? []
  ]
  const verified = changed === undefined
    ? "not installed: hashes are shown, there is no list to compare them with"
    : wrong.length === 0
    ? "every file is the one that was installed"
    : `${wrong.length} files are missing or changed`
  const ok = wrong.length === 0 && claude._tag === "Success"
  yield* data([...columns(rows), `installation: ${verified}`, `aws: ${awsOf(backend.first)}`], {
    ok,
    version: fullVersion,
    node: process.versions.node,
    programs: programs.map(({ file, name, sha256 }) => ({ name, version: fullVersion, file, sha256: sha256 ?? null })),
    claude: claude._tag === "Success" ? claude.success : null,
    jail: { jails: jail.jails, detail: jail.detail },
    installed: changed !== undefined,
    changed: wrong,
    aws: null
  })
  if (wrong.length > 0) {
    return yield* kmError(
      "KM-CLI-041",
      "sandboxes would run something else than what was installed",
      wrong.slice(0, 5).join(", ")
    )
  }
  if (claude._tag === "Failure") return yield* claude.failure
})

export const init = Effect.fn("km.init")(function*(input: { readonly sidecars: boolean }) {
  return yield* input.sidecars ? ofSidecars() : ofInstall()
})
