/** The list of what our app asks of Slack, against what the sources call and read; and the manifest made from it. */
import { assert, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { creationLink, manifestOf } from "../../../../runtime/domain/slack/SlackManifest.ts"
import {
  agentEvents,
  agentNeeds,
  appNeeds,
  botEvents,
  judgeScopes,
  needs,
  privateScopes,
  requiredScopes
} from "../../../../runtime/domain/slack/SlackNeeds.ts"
import { slackDocument, withTables } from "../../../docs/slackNeeds.ts"

const root = fileURLToPath(new URL("../../../..", import.meta.url))

const filesBelow = (folder: string, ends: string): ReadonlyArray<string> =>
  fs.readdirSync(path.join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(ends))
    .map((entry) => path.join(entry.parentPath, entry.name))

/** Every method and event that Slack has, as its own packages name them. */
const vocabulary = (folder: string, ends: string, pattern: RegExp): ReadonlySet<string> =>
  new Set(
    filesBelow(`node_modules/@slack/${folder}`, ends)
      .flatMap((file) => Array.from(fs.readFileSync(file, "utf8").matchAll(pattern), ([, name = ""]) => name))
  )
const slackMethods = vocabulary("web-api/dist", "methods.js", /bindApiCall\w*\(this, '([\w.]+)'/g)
const slackEvents = vocabulary("types/dist/events", ".d.ts", /\btype: '([a-z_]+)'/g)

/** Words in quotes, without comments, and without the keys of tables such as that of the rate limits. */
const quotedIn = (folder: string): ReadonlySet<string> =>
  new Set(
    filesBelow(folder, ".ts").flatMap((file) => {
      const code = fs.readFileSync(file, "utf8").split("\n").filter((line) => !/^\s*(\/?\*|\/\/)/.test(line)).join("\n")
      return Array.from(code.matchAll(/"([\w.]+)"(?!:)/g), ([, word = ""]) => word)
    })
  )

const calledIn = (folder: string): ReadonlyArray<string> =>
  [...quotedIn(folder)].filter((word) => slackMethods.has(word))

describe("what the app asks of Slack", () => {
  it("the packages that name all methods and events are read", () => {
    assert.isAbove(slackMethods.size, 200)
    assert.isAbove(slackEvents.size, 60)
  })

  it("is what the bridge and the commands call, no more and no less", () => {
    const called = new Set([...calledIn("bridge"), ...calledIn("km-cli/slack")])
    const listed = [...needs, ...appNeeds, ...agentNeeds].filter(({ kind }) => kind === "method").map(({ name }) =>
      name
    )
    assert.deepStrictEqual(listed.toSorted(), [...called].toSorted())
  })

  it("is what the bridge reads, no more and no less", () => {
    // Of the outer envelope: it comes to every app, subscribed to anything or not.
    const outer = "app_rate_limited"
    const read = [...quotedIn("bridge/events")].filter((word) => slackEvents.has(word) && word !== outer)
    const listed = new Set([...botEvents, ...agentEvents].map((name) => name.split(".")[0] ?? ""))
    assert.deepStrictEqual([...listed].toSorted(), read.toSorted())
  })

  it("has the reason for every entry, once", () => {
    const names = [...needs, ...appNeeds].map(({ name }) => name)
    assert.deepStrictEqual(names.toSorted(), [...new Set(names)].toSorted())
    assert.deepStrictEqual([...needs, ...appNeeds, ...agentNeeds].filter(({ why }) => why.length < 10), [])
  })

  it("is what the document says; `node test/docs/slackNeeds.ts` writes it", () => {
    const text = fs.readFileSync(slackDocument, "utf8")
    assert.strictEqual(text, withTables(text))
  })

  it("sixteen scopes, three of them for private channels", () => {
    assert.deepStrictEqual([...requiredScopes, ...privateScopes].toSorted(), [
      "app_mentions:read",
      "channels:history",
      "channels:join",
      "channels:manage",
      "channels:read",
      "chat:write",
      "conversations.connect:write",
      "files:read",
      "files:write",
      "groups:history",
      "groups:read",
      "groups:write",
      "reactions:read",
      "reactions:write",
      "users:read",
      "users:read.email"
    ])
    assert.deepStrictEqual(privateScopes, ["groups:history", "groups:read", "groups:write"])
  })

  it("judges a token: each scope alone is missed, others are told, private channels are all or nothing", () => {
    const all = [...requiredScopes, ...privateScopes]
    assert.deepStrictEqual(judgeScopes(all), { missing: [], superfluous: [], privateChannels: true })
    assert.deepStrictEqual(judgeScopes(requiredScopes), { missing: [], superfluous: [], privateChannels: false })
    for (const scope of all) {
      assert.deepStrictEqual(judgeScopes(all.filter((one) => one !== scope)).missing, [scope])
    }
    assert.deepStrictEqual(judgeScopes([...all, "admin", "assistant:write", ""]).superfluous, ["admin"])
  })
})

describe("the manifest", () => {
  const plain = { name: "km", agent: false, privateChannels: false }

  it("differs for Socket Mode and HTTP in the switch and the two addresses only", () => {
    const socket = manifestOf(plain)
    const http = manifestOf({ ...plain, publicUrl: "https://km.example.com" })
    assert.strictEqual(http.settings.event_subscriptions.request_url, "https://km.example.com/events")
    assert.strictEqual(http.settings.interactivity.request_url, "https://km.example.com/interactive")
    const { request_url: _, ...events } = http.settings.event_subscriptions
    const { request_url: __, ...interactivity } = http.settings.interactivity
    assert.deepStrictEqual(socket, {
      ...http,
      settings: { ...http.settings, event_subscriptions: events, interactivity, socket_mode_enabled: true }
    })
  })

  it("leaves private channels to who installs the app, unless they are wanted", () => {
    assert.deepStrictEqual(manifestOf(plain).oauth_config.scopes.bot_optional, privateScopes)
    assert.isUndefined(manifestOf({ ...plain, privateChannels: true }).oauth_config.scopes.bot_optional)
  })

  it("declares an agent when told only", () => {
    assert.isUndefined(manifestOf(plain).features.agent_view)
    assert.notInclude(manifestOf(plain).oauth_config.scopes.bot, "assistant:write")
    const agent = manifestOf({ ...plain, agent: true })
    assert.isAtMost(agent.features.agent_view?.agent_description.length ?? 999, 300)
    assert.include(agent.oauth_config.scopes.bot, "assistant:write")
  })

  it("keeps Slack's limits, and fits into a link", () => {
    const long = manifestOf({ name: "Ümläut & Co. of many words 35 chars!", agent: true, privateChannels: true })
    assert.match(long.features.bot_user.display_name, /^[a-z0-9._-]{1,80}$/)
    assert.isAtMost(long.display_information.description.length, 140)
    assert.isAtMost(long.settings.event_subscriptions.bot_events.length, 100)
    const { filled, url } = creationLink(long)
    assert.isTrue(filled)
    assert.deepStrictEqual(JSON.parse(new URL(url).searchParams.get("manifest_json") ?? ""), long)
  })
})
