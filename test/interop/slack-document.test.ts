/**
 * docs/slack-notifications.md followed word by word, from nothing to a first reply: every command of its two ways is taken
 * from the page and typed at a terminal, the secrets too. The local workspace stands in Slack's place, and what a
 * person does on Slack's pages is done there.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import type { WorkspaceHandle } from "../../km-cli/local/workspace/Workspace.ts"
import { km, kmProgram } from "../support/KmProcess.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { untilReal } from "../support/untilReal.ts"
import { slackClient, testWorkspace, tokenOf } from "../support/Workspace.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const page = fs.readFileSync(path.join(root, "docs/slack-notifications.md"), "utf8")

/** A part of the page, from its heading to the next one. */
const partOf = (heading: string): string => {
  const found = new RegExp(`\n## ${heading}\n([\\s\\S]*?)\n##+ `).exec(page)?.[1]
  if (found === undefined) throw new Error(`the page has no part ${heading}`)
  return found
}

const blocksOf = (part: string, kind: string): ReadonlyArray<string> =>
  [...part.matchAll(new RegExp(`\`\`\`${kind}\n([\\s\\S]*?)\`\`\``, "g"))].map(([, block = ""]) => block)

/** The commands of the shell blocks, as they are typed. */
const commandsOf = (part: string): ReadonlyArray<string> =>
  blocksOf(part, "sh").flatMap((block) => block.split("\n")).map((line) => line.replace(/\s+#.*$/, "").trim())
    .filter((line) => line !== "")

interface Typing {
  /** What the terminal has shown so far. */
  readonly shown: () => string
  readonly type: (text: string) => void
  readonly child: ChildProcess
  readonly ended: Promise<number | null>
}

interface Place {
  readonly directory: string
  readonly env: Record<string, string>
}

/** A shell on a terminal of its own (util-linux' script), with `km` on its PATH. */
const terminal = (place: Place, line: string) =>
  Effect.acquireRelease(
    Effect.sync((): Typing => {
      const child = spawn("script", ["-qefc", line, "/dev/null"], {
        cwd: place.directory,
        env: place.env,
        stdio: ["pipe", "pipe", "pipe"]
      })
      let shown = ""
      for (const stream of [child.stdout, child.stderr]) stream.on("data", (part: Buffer) => shown += part.toString())
      return {
        child,
        shown: () => shown,
        type: (typed) => void child.stdin.write(`${typed}\r`),
        ended: new Promise((end) => child.once("close", end))
      }
    }),
    ({ child, ended }) =>
      Effect.promise(() => {
        child.kill("SIGKILL")
        return ended
      })
  )

/** One command to its end; `answers` are typed when the terminal shows the text before them. */
const typed = (
  place: Place,
  line: string,
  answers: ReadonlyArray<readonly [shown: string, answer: Effect.Effect<string | undefined>]> = []
) =>
  Effect.gen(function*() {
    const at = yield* terminal(place, line)
    for (const [shown, answer] of answers) {
      yield* untilReal(
        `"${shown}" is shown`,
        Effect.sync(() => {
          if (at.child.exitCode !== null) throw new Error(`${line} ended: ${at.shown()}`)
          return at.shown().includes(shown)
        })
      )
      const given = yield* answer
      if (given !== undefined) at.type(given)
    }
    const exit = yield* Effect.promise(() => at.ended)
    assert.strictEqual(exit, 0, `${line}\n${at.shown()}`)
    return at.shown()
  }).pipe(Effect.scoped)

/** A directory to work in, with the profiles that the page names, and `km` on PATH. */
const placeToWork = Effect.gen(function*() {
  const directory = yield* temporaryDirectory
  const bin = path.join(directory, "bin")
  fs.mkdirSync(bin)
  fs.writeFileSync(path.join(bin, "km"), `#!/bin/sh\nexec '${process.execPath}' '${kmProgram}' "$@"\n`, { mode: 0o700 })
  fs.symlinkSync(path.join(root, "profiles"), path.join(directory, "profiles"))
  const state = path.join(directory, "state")
  const env: Record<string, string> = {
    PATH: `${bin}:/usr/bin:/bin`,
    HOME: directory,
    KM_STATE: state,
    KM_READY_WITHIN: "5m",
    TERM: "xterm"
  }
  yield* Effect.addFinalizer(() => km(state, ["down"]))
  return { directory, env }
})

/** What a person does on Slack's page: the app is made from the manifest and installed, so the bot has just its scopes. */
const installApp = Effect.fnUntraced(function*(place: Place, transport: "socket" | "http") {
  const manifest = JSON.parse(fs.readFileSync(path.join(place.directory, "manifest.json"), "utf8"))
  assert.strictEqual(manifest.settings.socket_mode_enabled, transport === "socket")
  const workspace = yield* testWorkspace({
    bot: { name: "km", scopes: manifest.oauth_config.scopes.bot },
    ...(transport === "socket" ? { sockets: { enabled: true } } : {})
  })
  place.env["KM_SLACK_API_URL"] = workspace.apiUrl
  return { workspace, eventsUrl: manifest.settings.event_subscriptions.request_url as unknown }
})

/** Somebody writes in the sandbox's channel, and the answer grows in the thread. */
const firstReply = Effect.fnUntraced(function*(workspace: WorkspaceHandle, channelName: string) {
  const ada = slackClient(workspace, tokenOf(workspace, "ada"))
  const list = yield* Effect.promise(() => ada.conversations.list({ limit: 100 }))
  const channel = list.channels?.find(({ name }) => name === channelName)?.id ?? assert.fail(`no #${channelName}`)
  yield* Effect.promise(() => ada.conversations.join({ channel }))
  const said = yield* Effect.promise(() => ada.chat.postMessage({ channel, text: "What is in this repository?" }))
  const ts = said.ts ?? assert.fail("not posted")
  const thread = yield* untilReal(
    "the turn is over",
    Effect.map(
      Effect.promise(() => ada.conversations.replies({ channel, ts })),
      ({ messages = [] }) => messages[0]?.reactions?.some(({ name }) => name === "white_check_mark") && messages
    )
  )
  assert.isAbove(thread.length, 1, "there is an answer below the message")
  assert.isTrue(thread.slice(1).some(({ text = "" }) => text.includes("scripted")), JSON.stringify(thread))
})

const asked = /xox[a-z]-|xapp-/

describe("the page for Slack, word by word", () => {
  it.live("By Socket Mode: from nothing to a first reply, with the tokens typed at a terminal", () =>
    Effect.gen(function*() {
      const place = yield* placeToWork
      const [manifest = "", slackInit = "", ...rest] = commandsOf(partOf("By Socket Mode"))
      const said = yield* typed(place, manifest)
      assert.match(said, /https:\/\/api\.slack\.com\/apps\?new_app=1\S+/, "the page that creates the app from it")
      const { workspace } = yield* installApp(place, "socket")

      assert.match(slackInit, /^km slack init /)
      const shown = yield* typed(place, slackInit, [
        ["Bot token", Effect.succeed(workspace.botToken)],
        ["App-level token", Effect.succeed(workspace.appToken)]
      ])
      assert.notMatch(shown.replaceAll(/xox[a-z]-…|xapp-…/g, ""), asked, "what is typed is not shown")
      assert.include(shown, "nothing to paste")
      assert.notInclude(shown, "igning secret")

      for (const line of rest) yield* typed(place, line)
      yield* firstReply(workspace, "sb-demo")
    }).pipe(Effect.scoped))

  it.live("By HTTPS: the same behind the page's Caddy, with its settings in km.config.yaml", () =>
    Effect.gen(function*() {
      const place = yield* placeToWork
      const [publicPort, port] = [yield* freePort, yield* freePort]
      // The name is this machine's and there is no certificate: TLS of the page's proxies is tested by itself.
      const here = (line: string) =>
        line.replaceAll("https://km.example.com", `http://localhost:${publicPort}`)
          .replaceAll("127.0.0.1:8787", `127.0.0.1:${port}`)
      const part = partOf("By HTTPS")
      fs.writeFileSync(path.join(place.directory, "km.config.yaml"), here(blocksOf(part, "yaml")[0] ?? ""))
      const site = /<!-- caddy -->\n```\n([\s\S]*?)```/.exec(page)?.[1] ?? assert.fail("no Caddyfile")
      const caddyfile = path.join(place.directory, "Caddyfile")
      fs.writeFileSync(
        caddyfile,
        `{\n\tadmin off\n}\n${here(site).replace("km.example.com {", `http://localhost:${publicPort} {`)}`
      )
      yield* Effect.acquireRelease(
        Effect.sync(() =>
          spawn("caddy", ["run", "--config", caddyfile, "--adapter", "caddyfile"], {
            stdio: "ignore",
            env: { ...place.env, XDG_DATA_HOME: place.directory, XDG_CONFIG_HOME: place.directory }
          })
        ),
        (child) =>
          Effect.callback<void>((resume) => {
            child.once("exit", () => resume(Effect.void))
            child.kill("SIGTERM")
          })
      )

      const [manifest = "", slackInit = "", ...none] = commandsOf(part).map(here)
      assert.lengthOf(none, 0)
      yield* typed(place, manifest)
      const { eventsUrl, workspace } = yield* installApp(place, "http")
      assert.strictEqual(eventsUrl, `http://localhost:${publicPort}/events`)
      const shown = yield* typed(place, slackInit, [
        ["Bot token", Effect.succeed(workspace.botToken)],
        ["Signing secret", Effect.succeed(workspace.signingSecret)],
        // Pasted on the app's page, and saved: Slack asks for its challenge.
        [
          `Events URL: http://localhost:${publicPort}/events`,
          Effect.as(Effect.orDie(workspace.setEventsUrl(`http://localhost:${publicPort}/events`)), undefined)
        ]
      ])
      assert.notMatch(shown.replaceAll("xoxb-…", ""), asked)
      assert.notInclude(shown, workspace.signingSecret)
      // "Then as above."
      for (const line of commandsOf(partOf("By Socket Mode")).slice(2)) yield* typed(place, line)
      yield* firstReply(workspace, "sb-demo")
    }).pipe(Effect.scoped))
})

const freePort = Effect.callback<number>((resume) => {
  const server = net.createServer()
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    server.close(() => resume(Effect.succeed(port)))
  })
})
