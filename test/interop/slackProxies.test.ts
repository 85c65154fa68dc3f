/**
 * The reverse proxies of docs/slack-notifications.md, taken from there: what they let through, and that a body arrives as it
 * was sent. The bridge in its place answers the SHA-256 of what came.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync, spawn } from "node:child_process"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as http from "node:http"
import * as https from "node:https"
import * as net from "node:net"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { temporaryDirectory } from "../support/ScriptedModel.ts"
import { untilReal } from "../support/untilReal.ts"

const text = fs.readFileSync(fileURLToPath(new URL("../../docs/slack-notifications.md", import.meta.url)), "utf8")

const exampleOf = (name: string): string => {
  const found = new RegExp(`<!-- ${name} -->\n\`\`\`\n([\\s\\S]*?)\`\`\``).exec(text)?.[1]
  if (found === undefined) throw new Error(`the document has no example for ${name}`)
  return found
}

const listening = (server: net.Server) =>
  Effect.callback<number>((resume) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

const freePort = Effect.gen(function*() {
  const server = net.createServer()
  const port = yield* listening(server)
  yield* Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
  return port
})

/** Says of each request what it was, and when its first byte was here. */
const upstream = Effect.gen(function*() {
  const server = http.createServer((request, response) => {
    const hash = createHash("sha256")
    request.on("data", (part: Buffer) => hash.update(part)).on("end", () => {
      response.end(JSON.stringify({ path: request.url, sha256: hash.digest("hex"), headers: request.headers }))
    })
  })
  const port = yield* listening(server)
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      server.close()
      server.closeAllConnections()
    })
  )
  return port
})

interface Told {
  readonly status: number
  readonly body: string
}

const ask = (port: number, method: string, where: string, body = "") =>
  Effect.callback<Told>((resume) => {
    const request = https.request({
      host: "127.0.0.1",
      servername: "km.example.com",
      port,
      method,
      path: where,
      rejectUnauthorized: false,
      headers: { host: "km.example.com", "x-slack-signature": "v0=ab", "content-type": "application/json" }
    }, (response) => {
      let answer = ""
      response.setEncoding("utf8").on("data", (part: string) => answer += part).on("end", () =>
        resume(Effect.succeed({ status: response.statusCode ?? 0, body: answer })))
    })
    request.on("error", (error) =>
      resume(Effect.succeed({ status: 0, body: error.message })))
    request.end(body)
  })

const certificate = (directory: string) => {
  const cert = path.join(directory, "cert.pem")
  const key = path.join(directory, "key.pem")
  execFileSync("openssl", [
    "req",
    "-x509",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-days",
    "1",
    "-subj",
    "/CN=km.example.com",
    "-addext",
    "subjectAltName=DNS:km.example.com",
    "-keyout",
    key,
    "-out",
    cert
  ], { stdio: "ignore" })
  return { cert, key }
}

const running = (command: string, args: ReadonlyArray<string>, home: string) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      spawn(command, args, {
        stdio: "ignore",
        env: { PATH: process.env["PATH"] ?? "", HOME: home, XDG_DATA_HOME: home }
      })
    ),
    (child) =>
      Effect.callback<void>((resume) => {
        if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
        child.once("exit", () => resume(Effect.void))
        child.kill("SIGTERM")
      })
  )

/** A body that anything which reads JSON would write in another way. */
const body = `{ "a":1,\n\t"b" : "\\u00e9é",  "c":1.0 }${" ".repeat(300_000)}`

const passesOnly = Effect.fnUntraced(function*(port: number) {
  yield* untilReal("the proxy answers", Effect.map(ask(port, "GET", "/"), ({ status }) => status > 0))
  for (const where of ["/events", "/interactive", "/files/some-token"]) {
    const told = yield* ask(port, "POST", where, body)
    assert.strictEqual(told.status, 200, `${where}: ${told.body}`)
    const came = JSON.parse(told.body) as { path: string; sha256: string; headers: Record<string, string> }
    assert.strictEqual(came.path, where)
    assert.strictEqual(came.sha256, createHash("sha256").update(body).digest("hex"))
    assert.strictEqual(came.headers["x-slack-signature"], "v0=ab")
  }
  for (
    const where of [
      "/",
      "/v2",
      "/healthz",
      "/events/",
      "/events2",
      "/files",
      "/eventsx/../v2",
      "/files/../v2",
      "/%76%32"
    ]
  ) {
    const told = yield* ask(port, "POST", where, "{}")
    assert.strictEqual(told.status, 404, `${where}: ${told.body}`)
  }
})

describe("the reverse proxies of the document", () => {
  it.live("Caddy forwards what is public, unchanged, and nothing else", () =>
    Effect.gen(function*() {
      const directory = yield* temporaryDirectory
      const behind = yield* upstream
      const port = yield* freePort
      const { cert, key } = certificate(directory)
      const site = exampleOf("caddy")
        .replace("km.example.com {", `https://km.example.com:${port} {\n\ttls ${cert} ${key}`)
        .replaceAll("127.0.0.1:8787", `127.0.0.1:${behind}`)
      const file = path.join(directory, "Caddyfile")
      fs.writeFileSync(file, `{\n\tadmin off\n\tauto_https disable_redirects\n}\n${site}`)
      yield* running("caddy", ["run", "--config", file, "--adapter", "caddyfile"], directory)
      yield* passesOnly(port)
    }).pipe(Effect.scoped))

  it.live("nginx forwards what is public, unchanged, and nothing else", () =>
    Effect.gen(function*() {
      const directory = yield* temporaryDirectory
      const behind = yield* upstream
      const port = yield* freePort
      const { cert, key } = certificate(directory)
      const server = exampleOf("nginx")
        .replace("listen 443 ssl;", `listen 127.0.0.1:${port} ssl;`)
        .replace(/ssl_certificate .*;/, `ssl_certificate ${cert};`)
        .replace(/ssl_certificate_key .*;/, `ssl_certificate_key ${key};`)
        .replaceAll("127.0.0.1:8787", `127.0.0.1:${behind}`)
      const file = path.join(directory, "nginx.conf")
      const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map((name) => `\t${name}_temp_path ${directory}/${name};`).join("\n")
      fs.writeFileSync(
        file,
        `daemon off;\npid ${directory}/nginx.pid;\nerror_log ${directory}/error.log;\nevents {}\nhttp {\n` +
          `\taccess_log off;\n${temporary}\n${server}}\n`
      )
      yield* running("nginx", ["-c", file, "-p", directory, "-e", `${directory}/error.log`], directory)
      yield* passesOnly(port)
    }).pipe(Effect.scoped))
})
