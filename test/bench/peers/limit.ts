/**
 * What the machine can do: `node:http`, Slack's HMAC, JSON.parse, and one synced SQLite commit for all that has gathered
 * in a turn of the event loop. It checks nothing else, knows no sandbox and no repetition. Argument: the database's file.
 */
import { createHmac, timingSafeEqual } from "node:crypto"
import * as http from "node:http"
import { DatabaseSync } from "node:sqlite"
import { secret } from "../eventLoad.ts"

const database = new DatabaseSync(process.argv[2] ?? "")
database.exec(
  "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE events (key TEXT PRIMARY KEY, body TEXT)"
)
const insert = database.prepare("INSERT OR IGNORE INTO events (key, body) VALUES (?, ?)")

let gathered: Array<{ readonly key: string; readonly body: string; readonly response: http.ServerResponse }> = []

const commit = (): void => {
  const batch = gathered
  gathered = []
  database.exec("BEGIN IMMEDIATE")
  for (const { body, key } of batch) insert.run(key, body)
  database.exec("COMMIT")
  for (const { response } of batch) response.writeHead(200, { "content-length": 0 }).end()
}

const server = http.createServer((request, response) => {
  const chunks: Array<Buffer> = []
  request.on("data", (chunk: Buffer) => chunks.push(chunk))
  request.on("end", () => {
    const body = Buffer.concat(chunks)
    const expected = createHmac("sha256", secret)
      .update(`v0:${String(request.headers["x-slack-request-timestamp"])}:`).update(body).digest()
    const given = Buffer.from(String(request.headers["x-slack-signature"]).slice(3), "hex")
    if (given.length !== expected.length || !timingSafeEqual(expected, given)) return void response.writeHead(401).end()
    const text = body.toString("utf8")
    const { event }: { event: { channel: string; ts: string } } = JSON.parse(text)
    if (gathered.length === 0) setImmediate(commit)
    gathered.push({ key: `${event.channel}:${event.ts}`, body: text, response })
  })
})
server.keepAliveTimeout = 65_000
server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${port}` })}\n`)
})
process.on("SIGTERM", () => process.exit(0))
process.stdin.on("end", () => process.exit(0)).resume()
