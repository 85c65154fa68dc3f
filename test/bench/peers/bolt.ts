/**
 * `@slack/bolt` as its documents show it, which answers an event and then calls the listener; with a database's file as
 * the argument the listener stores the event by one synced SQLite commit, and the answer comes after it.
 */
import { App, HTTPReceiver, LogLevel } from "@slack/bolt"
import { DatabaseSync } from "node:sqlite"
import { secret } from "../eventLoad.ts"

const [, , file] = process.argv

const receiver = new HTTPReceiver({
  signingSecret: secret,
  endpoints: ["/events"],
  processBeforeResponse: file !== undefined,
  logLevel: LogLevel.ERROR
})
const bolt = new App({
  receiver,
  logLevel: LogLevel.ERROR,
  authorize: () => Promise.resolve({ botToken: "xoxb-bench", botId: "B0BENCHBOT", botUserId: "U0BENCHBOT" })
})

const storing = (path: string) => {
  const database = new DatabaseSync(path)
  database.exec(
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE events (key TEXT PRIMARY KEY, body TEXT)"
  )
  const insert = database.prepare("INSERT OR IGNORE INTO events (key, body) VALUES (?, ?)")
  return (key: string, body: unknown) => void insert.run(key, JSON.stringify(body))
}
const store = file === undefined ? () => undefined : storing(file)

bolt.event("message", ({ body, event }) => {
  store(`${event.channel}:${event.ts}`, body)
  return Promise.resolve()
})

await bolt.start(0)
const address = "server" in receiver ? Reflect.get(receiver, "server").address() : undefined
process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${address.port}` })}\n`)
process.on("SIGTERM", () => process.exit(0))
process.stdin.on("end", () => process.exit(0)).resume()
