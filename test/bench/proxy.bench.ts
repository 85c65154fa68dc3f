/**
 * What the proxy costs: the plugin in a process of its own, with policy and journal, between a client and a GitHub on
 * loopback. Direct and proxied are measured in turn, in one run. All three share this machine's cores.
 */
import { execFile, execFileSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { once } from "node:events"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import * as tls from "node:tls"
import type { GitHubPolicy } from "../../runtime/domain/github/GitHubPolicy.ts"
import { judgePush } from "../../runtime/domain/github/JudgeRefs.ts"
import { pushReader } from "../../runtime/domain/github/ReceivePack.ts"
import { type BenchRow, meets, percentile } from "./BenchRow.ts"
import { startGitHub, startSandboxProxy } from "./proxyParts.ts"

const area = "proxy"
const warmRequests = 1_500
const firstConnections = 40
const cloneMiB = 500
const clones = 3
const pushMiB = 1_024
const refs = 1_000

const basic = Buffer.from("x-access-token:ghs_memory_read_1").toString("base64")

interface World {
  readonly port: number
  readonly authority: string
  readonly proxy: URL
  readonly bundle: string
  readonly proxyPid: number
}

const secured = async (socket: net.Socket, servername: string, ca: string): Promise<tls.TLSSocket> => {
  const secure = tls.connect({ socket, servername, ca: [ca] })
  await once(secure, "secureConnect")
  return secure.setNoDelay(true)
}

const direct = ({ authority, port }: World, host: string) => secured(net.connect(port, "127.0.0.1"), host, authority)

const tunnelled = async ({ bundle, proxy }: World, host: string): Promise<tls.TLSSocket> => {
  const socket = net.connect(Number(proxy.port), "127.0.0.1").setNoDelay(true)
  const credential = Buffer.from(`${proxy.username}:${proxy.password}`).toString("base64")
  socket.write(`CONNECT ${host}:443 HTTP/1.1\r\nHost: ${host}:443\r\nProxy-Authorization: Basic ${credential}\r\n\r\n`)
  await once(socket, "data")
  return secured(socket, host, bundle)
}

/** One request on a kept connection; resolves with the whole answer. */
const ask = (socket: tls.TLSSocket, bytes: string): Promise<string> =>
  new Promise((resolve, reject) => {
    let text = ""
    const onData = (chunk: Buffer) => {
      text += chunk.toString("latin1")
      const length = /\r\ncontent-length: (\d+)\r\n/i.exec(text)?.[1]
      const begins = text.indexOf("\r\n\r\n") + 4
      if (
        begins < 4 || (length === undefined ? !text.endsWith("\r\n0\r\n\r\n") : text.length < begins + Number(length))
      ) return
      socket.off("data", onData)
      socket.off("error", reject)
      resolve(text)
    }
    socket.on("data", onData).once("error", reject)
    socket.write(bytes)
  })

const apiRequest =
  `GET /repos/my-org/api HTTP/1.1\r\nHost: api.github.com\r\nAuthorization: Bearer ${"ghs"}_memory_read_1\r\n\r\n`

const latency = async (world: World): Promise<ReadonlyArray<BenchRow>> => {
  const ways = [await direct(world, "api.github.com"), await tunnelled(world, "api.github.com")] as const
  const took: readonly [Array<number>, Array<number>] = [[], []]
  for (let index = 0; index < warmRequests; index++) {
    for (const [way, socket] of ways.entries()) {
      const begun = performance.now()
      const answer = await ask(socket, apiRequest)
      if (!answer.startsWith("HTTP/1.1 200")) throw new Error(answer)
      if (index >= 100) took[way]?.push(performance.now() - begun)
    }
  }
  for (const socket of ways) socket.destroy()
  const row = (p: number, target: string): BenchRow => {
    const value = percentile(took[1], p) - percentile(took[0], p)
    return {
      area,
      name: `added to a warm API request, p${p}`,
      unit: "ms",
      value,
      baseline: percentile(took[0], p),
      target,
      ok: meets(value, target)
    }
  }
  return [row(50, "<= 0.6"), row(99, "<= 5")]
}

const timed = async (open: (host: string) => Promise<tls.TLSSocket>, host: string): Promise<number> => {
  const begun = performance.now()
  const socket = await open(host)
  const took = performance.now() - begun
  socket.destroy()
  return took
}

const firstConnect = async (world: World): Promise<BenchRow> => {
  const added: Array<number> = []
  for (let index = 0; index < firstConnections; index++) {
    // A name that neither has seen: a certificate is made for it.
    const host = `name${index}.github.com`
    const straight = await timed((name) => direct(world, name), host)
    added.push(await timed((name) => tunnelled(world, name), host) - straight)
  }
  const value = percentile(added, 50)
  return {
    area,
    name: "first CONNECT to a new host, over direct, p50",
    unit: "ms",
    value,
    target: "<= 8",
    ok: meets(value, "<= 8")
  }
}

const fill = (bare: string, work: string): void => {
  const git = (...args: ReadonlyArray<string>) =>
    execFileSync("git", [
      "-c",
      "core.compression=0",
      "-c",
      "pack.window=0",
      "-c",
      "user.name=b",
      "-c",
      "user.email=b@b",
      ...args
    ], {
      cwd: work,
      stdio: "ignore"
    })
  git("clone", "-q", bare, ".")
  for (let index = 0; index < cloneMiB / 20; index++) {
    fs.writeFileSync(path.join(work, `part${index}`), randomBytes(20 * 1024 * 1024))
  }
  git("add", ".")
  git("commit", "-q", "-m", "large")
  git("push", "-q", "origin", "HEAD:main")
  execFileSync("git", ["-c", "core.compression=0", "repack", "-adq", "--window=0"], { cwd: bare })
}

const cloneSeconds = async (
  target: string,
  address: string,
  env: Record<string, string>,
  config: ReadonlyArray<string>
) => {
  const begun = performance.now()
  await new Promise<void>((resolve, reject) => {
    execFile("git", [...config, "clone", "-q", "--bare", address, target], {
      env: { PATH: "/usr/bin:/bin", HOME: path.dirname(target), ...env }
    }, (error) => error === null ? resolve() : reject(error))
  })
  const took = (performance.now() - begun) / 1_000
  fs.rmSync(target, { recursive: true })
  return took
}

const clone = async (world: World, root: string): Promise<BenchRow> => {
  const ca = path.join(root, "direct.pem")
  fs.writeFileSync(ca, world.authority)
  const straight: Array<number> = []
  const through: Array<number> = []
  for (let round = 0; round < clones; round++) {
    straight.push(
      await cloneSeconds(path.join(root, "a"), `https://github.com:${world.port}/my-org/api.git`, {
        GIT_SSL_CAINFO: ca
      }, [
        "-c",
        `http.curloptResolve=github.com:${world.port}:127.0.0.1`,
        "-c",
        `http.extraHeader=Authorization: Basic ${basic}`
      ])
    )
    through.push(
      await cloneSeconds(path.join(root, "b"), "https://github.com/my-org/api.git", {
        GIT_SSL_CAINFO: world.bundle,
        HTTPS_PROXY: world.proxy.href.replace(/\/$/, "")
      }, [])
    )
  }
  const [plain, proxied] = [Math.min(...straight), Math.min(...through)]
  const value = 100 * plain / proxied
  return {
    area,
    name: `clone of ${cloneMiB} MiB against direct, best of ${clones}`,
    unit: "%",
    value,
    baseline: plain * 1_000,
    target: ">= 80",
    ok: meets(value, ">= 80")
  }
}

const memoryMiB = (pid: number, field: "VmRSS" | "VmHWM"): number =>
  Number(new RegExp(`${field}:\\s+(\\d+)`).exec(fs.readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1_024

const command = (ref: string, more = ""): string => {
  const line = `${"0".repeat(40)} ${"1".repeat(40)} ${ref}${more}`
  return `${(line.length + 4).toString(16).padStart(4, "0")}${line}`
}

const pushMemory = async (world: World): Promise<BenchRow> => {
  const push = async (mebibytes: number) => {
    const socket = await tunnelled(world, "github.com")
    const prelude = `${command("refs/heads/feature/x", "\0 report-status")}0000`
    socket.write(
      "POST /my-org/api.git/git-receive-pack HTTP/1.1\r\nHost: github.com\r\nContent-Type: application/x-git-receive-pack-request\r\n" +
        `Content-Length: ${prelude.length + mebibytes * 1_048_576}\r\n\r\n${prelude}`
    )
    const chunk = randomBytes(1_048_576)
    for (let sent = 0; sent < mebibytes; sent++) if (!socket.write(chunk)) await once(socket, "drain")
    const [answer] = await once(socket, "data")
    if (!String(answer).startsWith("HTTP/1.1 200")) throw new Error(String(answer))
    socket.destroy()
  }
  // What a process takes once, for its first large body, is not growth.
  await push(64)
  const before = memoryMiB(world.proxyPid, "VmRSS")
  fs.writeFileSync(`/proc/${world.proxyPid}/clear_refs`, "5")
  await push(pushMiB)
  const value = memoryMiB(world.proxyPid, "VmHWM") - before
  return {
    area,
    name: `memory growth over a push of ${pushMiB} MiB`,
    unit: "MiB",
    value,
    baseline: before,
    target: "<= 16",
    ok: meets(value, "<= 16")
  }
}

const decisions = (): BenchRow => {
  const policy: GitHubPolicy = {
    host: "github.com",
    allowedRepos: ["my-org/api"],
    repositories: [{ id: 7, owner: "my-org", name: "api" }],
    capabilities: [],
    allowedRefs: ["feature/*", "fix/*", "!feature/release"],
    allowDelete: false,
    allowForce: false,
    publicRead: [],
    mode: "enforce"
  }
  const lines = Array.from(
    { length: refs },
    (_, index) => command(`refs/heads/feature/x${index}`, index === 0 ? "\0 report-status" : "")
  )
  const body = Buffer.from(`${lines.join("")}0000PACK`)
  const took: Array<number> = []
  for (let round = 0; round < 200; round++) {
    const begun = performance.now()
    const reading = pushReader().feed(body)
    if (reading._tag !== "Prelude") throw new Error(reading._tag)
    if (judgePush(reading.prelude.commands, policy).refused.some((one) => one !== undefined)) throw new Error("refused")
    if (round >= 20) took.push(performance.now() - begun)
  }
  const value = percentile(took, 50)
  return {
    area,
    name: `decision on a push of ${refs} refs`,
    unit: "ms",
    value,
    p50: value,
    p99: percentile(took, 99),
    target: "<= 3",
    ok: meets(value, "<= 3")
  }
}

export const run = async (): Promise<ReadonlyArray<BenchRow>> => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), "km-bench-"))
  const gitHub = await startGitHub()
  const proxy = await startSandboxProxy(gitHub.said, root)
  try {
    const { HTTPS_PROXY = "", SSL_CERT_FILE = "" } = proxy.said.env
    const world: World = {
      ...gitHub.said,
      proxy: new URL(HTTPS_PROXY),
      bundle: SSL_CERT_FILE,
      proxyPid: proxy.child.pid ?? 0
    }
    const work = path.join(root, "work")
    fs.mkdirSync(work)
    // Node takes the authority's own certificate alone; git is given the whole file.
    const own = fs.readFileSync(world.bundle, "utf8").split(/(?<=-----END CERTIFICATE-----\n)/).at(-1) ?? ""
    const byNode = { ...world, bundle: own }
    const rows = [
      decisions(),
      ...await latency(byNode),
      await firstConnect(byNode),
      await pushMemory(byNode)
    ]
    fill(gitHub.said.bare, work)
    return [...rows, await clone(world, root)]
  } finally {
    proxy.child.disconnect()
    gitHub.child.disconnect()
    fs.rmSync(root, { recursive: true, force: true })
  }
}
