/**
 * The command list of a push, read by us and by git's own receive-pack: whatever git would act on was judged, or the push was
 * refused. What git takes is seen in its pre-receive hook, which then declines, so that the repository stays as it was.
 * `KM_PUSH_RUNS=20000` is the long run.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { execFileSync, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { flushPacket, joined, textPacket } from "../../runtime/domain/github/PktLine.ts"
import { pushReader } from "../../runtime/domain/github/ReceivePack.ts"
import { gitReadsPush } from "../support/gitReadsPush.ts"
import { emptyPack, pushBody, randomFrom, zeroId } from "../support/PushInputs.ts"

const runs = Number(process.env["KM_PUSH_RUNS"] ?? 300)

let folder = ""
let ids: ReadonlyArray<string> = []
const environment = () => ({
  PATH: process.env["PATH"] ?? "",
  HOME: folder,
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_AUTHOR_NAME: "a",
  GIT_AUTHOR_EMAIL: "a@example.com",
  GIT_COMMITTER_NAME: "a",
  GIT_COMMITTER_EMAIL: "a@example.com",
  GIT_AUTHOR_DATE: "1700000000 +0000",
  GIT_COMMITTER_DATE: "1700000000 +0000",
  LC_ALL: "C"
})
const git = (...words: ReadonlyArray<string>): string =>
  execFileSync("git", ["-C", path.join(folder, "r.git"), ...words], { env: environment(), encoding: "utf8" }).trim()

const record = () => path.join(folder, "seen")

beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), "km-push-"))
  execFileSync("git", ["init", "-q", "--bare", path.join(folder, "r.git")], { env: environment() })
  const tree = git("mktree")
  const one = git("commit-tree", tree, "-m", "one")
  const two = git("commit-tree", tree, "-p", one, "-m", "two")
  ids = [one, two]
  git("update-ref", "refs/heads/main", one)
  git("update-ref", "refs/tags/v1", one)
  for (const [key, value] of [["advertisePushOptions", "true"], ["certNonceSeed", "seed"], ["denyDeletes", "false"]]) {
    git("config", `receive.${key}`, value ?? "")
  }
  const hook = path.join(folder, "r.git", "hooks", "pre-receive")
  fs.writeFileSync(
    hook,
    `#!/bin/sh
{ cat; env | sed -n 's/^GIT_PUSH_OPTION_[0-9][0-9]*=/option /p'; } > ${record()}
exit 1
`
  )
  fs.chmodSync(hook, 0o755)
})

afterAll(() => {
  fs.rmSync(folder, { recursive: true, force: true })
})

/** What the hook was told: commands and options, one a line. */
const gitActsOn = (body: Uint8Array): ReadonlyArray<string> => {
  fs.rmSync(record(), { force: true })
  spawnSync("git", ["receive-pack", "--stateless-rpc", path.join(folder, "r.git")], {
    env: environment(),
    input: body,
    timeout: 30_000
  })
  return fs.existsSync(record()) ? fs.readFileSync(record(), "latin1").split("\n").filter((line) => line !== "") : []
}

/** The same lines of what was read; a line feed within a name parts them there too. */
const lines = (
  commands: ReadonlyArray<{ readonly old: string; readonly new: string; readonly ref: string }>,
  options: ReadonlyArray<string>
) =>
  [
    ...commands.map((command) => `${command.old} ${command.new} ${command.ref}`),
    ...options.map((text) => `option ${text}`)
  ]
    .flatMap((line) => line.split("\n")).filter((line) => line !== "")

/** What we read, in the same words; undefined for what we refuse. */
const weRead = (body: Uint8Array): ReadonlyArray<string> | undefined => {
  const reading = pushReader().feed(body)
  return reading._tag === "Prelude" ?
    lines(reading.prelude.commands, reading.prelude.options).map((line) => Buffer.from(line).toString("latin1"))
    : undefined
}

describe("the command list of a push", () => {
  it("is read by git as by us, where clients write it", () => {
    const [one = "", two = ""] = ids
    const body = joined([
      textPacket(`${one} ${two} refs/heads/main\0 report-status push-options object-format=sha1 agent=x`),
      textPacket(`${zeroId} ${one} refs/heads/new\n`),
      textPacket(`${one} ${zeroId} refs/tags/v1`),
      flushPacket,
      textPacket("ci.skip"),
      flushPacket,
      emptyPack
    ])
    const expected = [
      `${one} ${two} refs/heads/main`,
      `${zeroId} ${one} refs/heads/new`,
      `${one} ${zeroId} refs/tags/v1`,
      "option ci.skip"
    ]
    assert.deepStrictEqual(gitActsOn(body), expected)
    assert.deepStrictEqual(weRead(body), expected)
  })

  it(`has nothing that git acts on and we did not read, in ${runs} good and bent ones`, () => {
    const world = { ids, refs: ["refs/heads/main", "refs/heads/feature/x", "refs/tags/v1", "refs/heads/y"] }
    let taken = 0
    let acted = 0
    let modelled = 0
    for (let seed = 1; seed <= runs; seed++) {
      const body = pushBody(randomFrom(seed), world, seed % 4 === 0 ? 0 : 0.7)
      const there = gitActsOn(body)
      const here = weRead(body)
      if (here !== undefined) taken++
      if (there.length === 0) continue
      acted++
      if (here !== undefined) assert.deepStrictEqual(here.toSorted(), there.toSorted(), `seed ${seed}`)
      // The model that the fast tests use is git's equal, or knows of less that stops git.
      const { commands, options } = gitReadsPush(body)
      assert.deepStrictEqual(lines(commands, options).toSorted(), there.toSorted(), `seed ${seed}, the model`)
      modelled++
    }
    assert.isAbove(taken, runs / 20)
    assert.isAbove(acted, taken / 2)
    assert.strictEqual(modelled, acted)
  }, 600_000 + runs * 300)
})
