/**
 * The proxy beside mitmproxy, Debian's or PyPI's, where one is installed: small answers of the API over connections that are
 * kept, eight at a time, by the same client from the same GitHub on loopback, in turn. Without the program there is no row.
 * At most half a minute for each of the two; the best of three rounds counts.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import * as tls from "node:tls"
import { type BenchRow, meets } from "./BenchRow.ts"
import { startGitHub, startSandboxProxy } from "./proxyParts.ts"

const connections = 8
const rounds = 3
const roundMillis = 5_000
const target = ">= 6"
/** That the GitHub of the bench takes. */
const token = "ghs_memory_read_1"

/** The program's path, or undefined where it is not installed. */
const installed = (): string | undefined => {
  try {
    return execFileSync("sh", ["-c", "command -v mitmdump"], { encoding: "utf8" }).trim()
  } catch {
    return undefined
  }
}

const freePort = async (): Promise<number> => {
  const server = net.createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  server.close()
  await once(server, "close")
  return port
}

/** Sends api.github.com to the GitHub on loopback and adds a token, which is the least that a proxy like ours does. */
const addon = (port: number): string =>
  `from mitmproxy import http
class Pinned:
    def server_connect(self, data):
        data.server.address = ("127.0.0.1", ${port})
    def request(self, flow: http.HTTPFlow):
        flow.request.headers["authorization"] = " ".join(["Bearer", "${token}"])
addons = [Pinned()]
`

/** Until something listens there. */
const listening = async (port: number, child: ChildProcess): Promise<void> => {
  while (child.exitCode === null) {
    const socket = net.connect(port, "127.0.0.1")
    const stands = await Promise.race([
      once(socket, "connect").then(() => true, () => false),
      once(socket, "error").then(() => false)
    ])
    socket.destroy()
    if (stands) return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error(`mitmdump ended (${child.exitCode})`)
}

interface Way {
  readonly port: number
  readonly ca: string
  readonly credential?: string
}

const open = async ({ ca, credential, port }: Way): Promise<tls.TLSSocket> => {
  const socket = net.connect(port, "127.0.0.1").setNoDelay(true)
  const field = credential === undefined
    ? ""
    : `Proxy-Authorization: Basic ${Buffer.from(credential).toString("base64")}\r\n`
  socket.write(`CONNECT api.github.com:443 HTTP/1.1\r\nHost: api.github.com:443\r\n${field}\r\n`)
  const [answer] = await once(socket, "data")
  if (!String(answer).startsWith("HTTP/1.1 200")) throw new Error(String(answer))
  const secure = tls.connect({ socket, servername: "api.github.com", ca: [ca], ALPNProtocols: ["http/1.1"] })
  await once(secure, "secureConnect")
  return secure.setNoDelay(true)
}

const request = Buffer.from("GET /repos/my-org/api HTTP/1.1\r\nHost: api.github.com\r\nAccept: */*\r\n\r\n")

/** Whole answers in a text that begins with one; chunked ones end with an empty chunk. */
const isWhole = (text: string): boolean => {
  const head = text.indexOf("\r\n\r\n")
  if (head < 0) return false
  const length = /\r\ncontent-length: (\d+)\r\n/i.exec(text.slice(0, head + 2))?.[1]
  return length === undefined ? text.endsWith("\r\n0\r\n\r\n") : text.length >= head + 4 + Number(length)
}

/** Requests a second over all connections. */
const rate = async (way: Way): Promise<number> => {
  const sockets = await Promise.all(Array.from({ length: connections }, () => open(way)))
  const until = performance.now() + roundMillis
  let done = 0
  const begun = performance.now()
  await Promise.all(sockets.map((socket) =>
    new Promise<void>((resolve, reject) => {
      let text = ""
      socket.on("error", reject)
      socket.on("data", (chunk: Buffer) => {
        text += chunk.toString("latin1")
        if (!isWhole(text)) return
        if (!text.startsWith("HTTP/1.1 200")) return reject(new Error(text.slice(0, 300)))
        text = ""
        done++
        if (performance.now() >= until) resolve()
        else socket.write(request)
      })
      socket.write(request)
    })
  ))
  for (const socket of sockets) socket.destroy()
  return done / ((performance.now() - begun) / 1_000)
}

export const run = async (): Promise<ReadonlyArray<BenchRow>> => {
  const program = installed()
  if (program === undefined) return []
  const root = fs.mkdtempSync(path.join(os.tmpdir(), "km-bench-"))
  const gitHub = await startGitHub()
  const proxy = await startSandboxProxy(gitHub.said, root)
  const port = await freePort()
  const believed = path.join(root, "upstream.pem")
  fs.writeFileSync(believed, gitHub.said.authority)
  const script = path.join(root, "pinned.py")
  fs.writeFileSync(script, addon(gitHub.said.port))
  const other = spawn(
    program,
    [
      "-q",
      "--listen-host",
      "127.0.0.1",
      "-p",
      String(port),
      "--set",
      `confdir=${path.join(root, "mitm")}`,
      "--set",
      `ssl_verify_upstream_trusted_ca=${believed}`,
      "-s",
      script
    ],
    { stdio: ["ignore", "ignore", "inherit"], env: { PATH: process.env["PATH"] ?? "", HOME: root } }
  )
  try {
    await listening(port, other)
    const { HTTPS_PROXY = "", SSL_CERT_FILE = "" } = proxy.said.env
    const { password, port: ownPort, username } = new URL(HTTPS_PROXY)
    const ours: Way = {
      port: Number(ownPort),
      ca: fs.readFileSync(SSL_CERT_FILE, "utf8").split(/(?<=-----END CERTIFICATE-----\n)/).at(-1) ?? "",
      credential: `${username}:${password}`
    }
    const theirs: Way = { port, ca: fs.readFileSync(path.join(root, "mitm", "mitmproxy-ca-cert.pem"), "utf8") }
    const best = { ours: 0, theirs: 0 }
    for (let round = 0; round < rounds; round++) {
      best.ours = Math.max(best.ours, await rate(ours))
      best.theirs = Math.max(best.theirs, await rate(theirs))
    }
    const ratio = best.ours / best.theirs
    const name = `requests/s, small JSON, ${connections} connections, best of ${rounds}`
    return [
      { area: "proxy", name, unit: "1/s", value: best.ours, baseline: best.theirs, ratio, target: "", ok: true },
      { area: "proxy", name: `${name}, against mitmproxy`, unit: "x", value: ratio, target, ok: meets(ratio, target) }
    ]
  } finally {
    other.kill("SIGKILL")
    proxy.child.disconnect()
    gitHub.child.disconnect()
    fs.rmSync(root, { recursive: true, force: true })
  }
}
