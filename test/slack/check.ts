/**
 * `make slack-check`: the scenarios that the local workspace is trusted for, asked of the API in the environment, slack.com
 * unless told. Prints what each came to, writes request and answer, scrubbed, below the directory that is named, and exits 1
 * where an answer is not as it was taken for. Without tokens it was not run, and says so.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import process from "node:process"
import { fileURLToPath } from "node:url"
import { judgeScopes } from "../../runtime/domain/slack/SlackNeeds.ts"
import { scrubber } from "./scrub.ts"

const variable = (name: string): string => (process.env[name] ?? "").trim()

const api = variable("KM_SLACK_API_URL") || "https://slack.com/api/"
const botToken = variable("KM_SLACK_BOT_TOKEN")
const appToken = variable("KM_SLACK_APP_TOKEN")
const vectors = process.argv[2] ?? fileURLToPath(new URL("../vectors/slack", import.meta.url))

type Json = Record<string, unknown>

interface Exchange {
  readonly method: string
  readonly request: Json
  readonly status: number
  readonly scopes: string | null
  readonly answer: Json
}

/** Seconds that one call may take. */
const patience = 20

const exchanges: Array<Exchange & { readonly scenario: string }> = []
let scenario = ""

const call = async (method: string, request: Json = {}, token = botToken): Promise<Json> => {
  const form = new URLSearchParams(
    Object.fromEntries(
      Object.entries(request).map(([key, value]) => [key, typeof value === "string" ? value : JSON.stringify(value)])
    )
  )
  const response = await fetch(api + method, {
    method: "POST",
    headers: { authorization: `Bearer ${token}` },
    body: form,
    signal: AbortSignal.timeout(patience * 1_000)
  })
  const answer = await response.json() as Json
  const scopes = response.headers.get("x-oauth-scopes")
  exchanges.push({ scenario, method, request, status: response.status, scopes, answer })
  return answer
}

const must = (holds: boolean, what: string): void => {
  if (!holds) throw new Error(what)
}
const word = (answer: Json): string => answer["ok"] === true ? "ok" : String(answer["error"])
const idOf = (answer: Json, key: string): string => String((answer[key] as Json | undefined)?.["id"] ?? "")

/** Made for this run and archived at its end. */
let channel = ""

const table = "| a | b |\n|---|---|\n| 1 | 2 |\n"

/** Name → what it came to; throws where the answer is not what the local workspace gives. */
const scenarios: ReadonlyArray<readonly [name: string, run: () => Promise<string>]> = [
  ["scopes come with an answer", async () => {
    const answer = await call("auth.test")
    must(answer["ok"] === true, word(answer))
    const { missing } = judgeScopes((exchanges.at(-1)?.scopes ?? "").split(",").map((scope) => scope.trim()))
    must(missing.length === 0, `missing: ${missing.join(", ")}`)
    return "all are granted"
  }],
  ["a channel, and its name once more", async () => {
    const name = `km-check-${Date.now().toString(36)}`
    const made = await call("conversations.create", { name })
    must(made["ok"] === true, word(made))
    channel = idOf(made, "channel")
    const again = await call("conversations.create", { name })
    must(word(again) === "name_taken", `taken name: ${word(again)}`)
    return "name_taken"
  }],
  ["metadata can be read back", async () => {
    const metadata = { event_type: "km_check", event_payload: { key: "1" } }
    const posted = await call("chat.postMessage", { channel, text: "check", metadata })
    must(posted["ok"] === true, word(posted))
    const history = await call("conversations.history", { channel, limit: 10, include_all_metadata: true })
    const messages = history["messages"] as ReadonlyArray<Json>
    const found = messages.some((message) => (message["metadata"] as Json | undefined)?.["event_type"] === "km_check")
    must(found, "the history does not show it")
    return "read back"
  }],
  ["an edit keeps the limit of 4,000 characters", async () => {
    const posted = await call("chat.postMessage", { channel, text: "check" })
    const edited = await call("chat.update", {
      channel,
      ts: String(posted["ts"]),
      text: "x".repeat(4_001),
      parse: "none"
    })
    must(word(edited) === "msg_too_long", word(edited))
    return "msg_too_long"
  }],
  ["a markdown block, and two tables in one message (open question)", async () => {
    const one = await call("chat.postMessage", { channel, text: "t", blocks: [{ type: "markdown", text: table }] })
    must(one["ok"] === true, word(one))
    const two = [{ type: "markdown", text: table }, { type: "markdown", text: table }]
    return `two tables: ${word(await call("chat.postMessage", { channel, text: "t", blocks: two }))}`
  }],
  ["whether a raw mention in a markdown block is live (open question)", async () => {
    const blocks = [{ type: "markdown", text: "raw <!here> and neutralised <\u200b!here>" }]
    return `posted: ${word(await call("chat.postMessage", { channel, text: "mention", blocks }))}; look at the channel`
  }],
  ["a mark that is there already", async () => {
    const posted = await call("chat.postMessage", { channel, text: "check" })
    const mark = { channel, timestamp: String(posted["ts"]), name: "eyes" }
    must(word(await call("reactions.add", mark)) === "ok", "the first one")
    const again = await call("reactions.add", mark)
    must(word(again) === "already_reacted", word(again))
    return "already_reacted"
  }],
  ["a channel that is not there", async () => {
    const answer = await call("conversations.info", { channel: "C0NOTHERE01" })
    must(word(answer) === "channel_not_found", word(answer))
    return "channel_not_found"
  }],
  ["the word for an app-level token, with and without Socket Mode (open question)", async () => {
    if (appToken === "") return "no KM_SLACK_APP_TOKEN: not asked"
    return word(await call("apps.connections.open", {}, appToken))
  }],
  ["an app-level token is for nothing else", async () => {
    if (appToken === "") return "no KM_SLACK_APP_TOKEN: not asked"
    const answer = await call("conversations.info", { channel }, appToken)
    must(word(answer) === "not_allowed_token_type", word(answer))
    return "not_allowed_token_type"
  }],
  ["the channel is archived", async () => {
    const archived = await call("conversations.archive", { channel })
    must(archived["ok"] === true, word(archived))
    const late = await call("chat.postMessage", { channel, text: "late" })
    must(word(late) === "is_archived", word(late))
    return "is_archived"
  }]
]

/** A file a scenario, so that a second run shows in a diff what has changed. */
const write = (): void => {
  const scrub = scrubber([botToken, appToken])
  fs.mkdirSync(vectors, { recursive: true })
  for (const [at, [name]] of scenarios.entries()) {
    const pairs = exchanges.filter((exchange) => exchange.scenario === name).map((
      { answer, method, request, scopes, status }
    ) => ({ method, request, status, scopes, answer }))
    const file = `${String(at + 1).padStart(2, "0")}-${
      name.replaceAll(/[^a-z0-9]+/g, "-").replaceAll(/^-|-$/g, "").slice(0, 50)
    }.json`
    fs.writeFileSync(
      path.join(vectors, file),
      `${JSON.stringify(scrub({ scenario: name, api, pairs }), undefined, 2)}\n`
    )
  }
}

const main = async (): Promise<number> => {
  if (botToken === "") {
    process.stderr.write("not run: set KM_SLACK_BOT_TOKEN, and KM_SLACK_APP_TOKEN for Socket Mode\n")
    return 1
  }
  process.stdout.write(`asking ${api}\n`)
  let failed = 0
  for (const [name, run] of scenarios) {
    scenario = name
    try {
      process.stdout.write(`ok      ${name}: ${await run()}\n`)
    } catch (error) {
      failed += 1
      process.stdout.write(`FAILED  ${name}: ${error instanceof Error ? error.message : String(error)}\n`)
    }
  }
  write()
  process.stdout.write(`${scenarios.length - failed} of ${scenarios.length}; scrubbed pairs in ${vectors}\n`)
  return failed === 0 ? 0 : 1
}

process.exitCode = await main()
