/** A jail without a network: what its agent is given, and that nothing but the doors can be reached from inside. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option, type Scope } from "effect"
import { execFileSync, spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as Dgram from "node:dgram"
import * as Fs from "node:fs"
import * as Http from "node:http"
import * as Net from "node:net"
import * as Path from "node:path"
import { marked } from "../../runtime/adapters/claude/ProcessTree.ts"
import * as RunFiles from "../../runtime/adapters/claude/RunFiles.ts"
import { Jail, jailArguments, type JailNetwork } from "../../runtime/adapters/jail/Bubblewrap.ts"
import { accept, doorPorts, handOverFrom, withDoors } from "../../runtime/adapters/jail/Doors.ts"
import { kernelEntries } from "../../runtime/adapters/jail/KernelFiles.ts"
import { withThreeDescriptors } from "../../runtime/adapters/jail/probeScript.ts"
import { bundled } from "../support/bundled.ts"
import { bashScript, networkOf, runOf, scriptedAgent, temporaryDirectory, until } from "../support/ScriptedModel.ts"

const node = Fs.realpathSync(process.execPath)
const ground = { kernel: kernelEntries(), disableUserns: true }
const doors = [{ name: "model", port: doorPorts.model }, { name: "hooks", port: doorPorts.hooks }]

/** What a command prints in a jail; `name` is what its doors answer, with the door's own name. */
const inJail = Effect.fnUntraced(function*(command: ReadonlyArray<string>, network: JailNetwork, name = "jail") {
  const entrypoint = { engine: node, program: bundled("km-entrypoint.cjs") }
  const view = {
    writable: [],
    readOnly: [node, entrypoint.program],
    files: [],
    cwd: "/",
    hostname: "sandbox",
    network
  }
  const inside = withThreeDescriptors(command)
  const hasDoors = network === "none"
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(
        "/usr/bin/bwrap",
        [
          ...jailArguments(view, {}, ground),
          ...(hasDoors ? withDoors(entrypoint, doors, inside) : inside)
        ],
        { env: { PATH: "/usr/bin:/bin" }, stdio: ["ignore", "pipe", "inherit", ...(hasDoors ? ["ipc" as const] : [])] }
      )
    ),
    (started) => Effect.sync(() => void started.kill("SIGKILL"))
  )
  let output = ""
  child.stdout?.on("data", (chunk: Buffer) => output += chunk.toString("utf8"))
  if (hasDoors) {
    const handOver = handOverFrom(child, doors)
    const listeners = yield* handOver.listeners
    for (const [index, listener] of listeners.entries()) {
      const server = Http.createServer((_, response) => response.end(`${name} ${doors[index]?.name}`))
      yield* accept(listener, (socket) => void server.emit("connection", socket))
    }
    yield* handOver.begin
  }
  yield* Effect.callback<void>((resume) => void child.once("close", () => resume(Effect.void)))
  return output
})

/** Listens with the scope, on loopback or an abstract name of this machine; counts who came. */
const listening = (where: { readonly port: number; readonly host: string } | { readonly path: string }) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly server: Net.Server; readonly came: () => number }>((resume) => {
      let came = 0
      const server = Net.createServer((socket) => {
        came++
        socket.on("error", () => undefined)
        socket.end("HTTP/1.0 200 OK\r\n\r\nthe machine")
      })
      server.listen(where, () => resume(Effect.succeed({ server, came: () => came })))
    }),
    ({ server }) => Effect.sync(() => void server.close())
  )

const portOf = (server: Net.Server | Dgram.Socket): number => {
  const address = server.address()
  return typeof address === "object" && address !== null ? address.port : 0
}

const udp: Effect.Effect<{ readonly socket: Dgram.Socket; readonly came: () => number }, never, Scope.Scope> = Effect
  .acquireRelease(
    Effect.callback((resume) => {
      let came = 0
      const socket = Dgram.createSocket("udp4")
      socket.on("message", (message, from) => {
        came++
        socket.send(message, from.port, from.address)
      })
      socket.bind(0, "127.0.0.1", () => resume(Effect.succeed({ socket, came: () => came })))
    }),
    ({ socket }) => Effect.sync(() => void socket.close())
  )

/** Tries every address that it is given, of loopback and abstract names alone, and says which of them answer. */
const reach = `
const net = require("node:net"), dgram = require("node:dgram")
const { tcp, names, datagrams } = JSON.parse(process.argv[1])
const tried = (name, options) => new Promise((resolve) => {
  const socket = net.connect(options)
  let text = ""
  socket.setTimeout(5000, () => socket.destroy())
  socket.on("connect", () => socket.write("GET / HTTP/1.0\\r\\n\\r\\n"))
  socket.on("data", (chunk) => text += chunk)
  socket.on("error", () => undefined)
  socket.on("close", () => resolve([name, text.split("\\r\\n\\r\\n")[1] ?? ""]))
})
const echoed = (port) => new Promise((resolve) => {
  const socket = dgram.createSocket("udp4")
  const end = (text) => { clearTimeout(timer); socket.close(); resolve(["udp", text]) }
  const timer = setTimeout(() => end(""), 1000)
  socket.on("error", () => end(""))
  socket.on("message", () => end("the machine"))
  socket.connect(port, "127.0.0.1", () => socket.send("anyone"))
})
const own = net.createServer((socket) => socket.end("HTTP/1.0 200 OK\\r\\n\\r\\nits own")).listen(0, "127.0.0.1", async () => {
  const found = [
    await tried("its own server", { port: own.address().port, host: "127.0.0.1" }),
    ...await Promise.all([
      ...tcp.map(([name, host, port]) => tried(name, { host, port })),
      ...names.map((path) => tried("abstract", { path: "\\0" + path })),
      ...datagrams.map(echoed)
    ])
  ]
  console.log(JSON.stringify(Object.fromEntries(found)))
  process.exit(0)
})
`

const connected = Effect.fnUntraced(function*(network: JailNetwork) {
  const name = `km-test-${randomUUID()}`
  const four = yield* listening({ port: 0, host: "127.0.0.1" })
  const six = yield* listening({ port: 0, host: "::1" })
  const any = yield* listening({ port: 0, host: "0.0.0.0" })
  const abstract = yield* listening({ path: `\0${name}` })
  const datagrams = yield* udp
  const targets = {
    tcp: [
      ["model", "127.0.0.1", 4701],
      ["hooks", "127.0.0.1", 4702],
      ["model over IPv6", "::1", 4701],
      ["next to the doors", "127.0.0.1", 4703],
      ["IPv4", "127.0.0.1", portOf(four.server)],
      ["IPv6", "::1", portOf(six.server)],
      ["every interface", "127.0.0.1", portOf(any.server)],
      ["every interface, another loopback", "127.0.0.2", portOf(any.server)]
    ],
    names: [name],
    datagrams: [portOf(datagrams.socket)]
  }
  const output = yield* inJail([node, "-e", reach, JSON.stringify(targets)], network)
  const answers: Readonly<Record<string, string>> = JSON.parse(output)
  return { answers, came: [four, six, any, abstract, datagrams].map(({ came }) => came()) }
})

const machine = ["IPv4", "IPv6", "every interface", "every interface, another loopback", "abstract", "udp"]

describe("from inside a jail without a network", () => {
  it.live("its doors and its own servers answer, and nothing of the machine does", () =>
    Effect.gen(function*() {
      const { answers, came } = yield* connected("none")
      assert.strictEqual(answers["model"], "jail model")
      assert.strictEqual(answers["hooks"], "jail hooks")
      assert.strictEqual(answers["its own server"], "its own")
      for (const name of [...machine, "model over IPv6", "next to the doors"]) {
        assert.strictEqual(answers[name], "", name)
      }
      assert.deepStrictEqual(came, [0, 0, 0, 0, 0])
    }))

  it.live("what is tried is worth trying: with the machine's network all of it answers", () =>
    Effect.gen(function*() {
      const { answers, came } = yield* connected("shared")
      for (const name of machine) assert.strictEqual(answers[name], "the machine", name)
      assert.deepStrictEqual(came, [1, 1, 2, 1, 1])
    }))

  it.live("the same ports of two jails are their own", () =>
    Effect.gen(function*() {
      const ask = [
        "/bin/bash",
        "-c",
        "exec 3<>/dev/tcp/127.0.0.1/4701; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; tail -n1 <&3"
      ]
      const answers = yield* Effect.all([inJail(ask, "none", "first"), inJail(ask, "none", "second")], {
        concurrency: 2
      })
      assert.deepStrictEqual(answers.map((answer) => answer.trim()), ["first model", "second model"])
    }))
})

/** Signals 1 to 31, as bits of a mask of `/proc/self/status`. */
const standardSignals = 0x7fff_ffffn

const signals = (lines: ReadonlyArray<string>) =>
  lines.filter((line) => line.startsWith("Sig")).map((line) => {
    const [name = "", mask = ""] = line.split(":\t")
    return [name, BigInt(`0x${mask}`)] as const
  })

/**
 * What any program that this process starts has blocked and ignored. Whoever started the tests may ignore real-time
 * signals (32 to 64), and every program below inherits that: Node resets the standard ones alone.
 */
const signalsOfAnyProgram = () =>
  signals(execFileSync("/bin/grep", ["-E", "^Sig(Blk|Ign)", "/proc/self/status"], { encoding: "utf8" }).split("\n"))

describe("the agent behind doors", () => {
  it.live("has three descriptors, nothing of the hand-over, and signals as any program has them", () =>
    Effect.gen(function*() {
      const look = "for f in /proc/self/fd/*; do [ -e $f ] && echo fd $f; done; tr '\\0' '\\n' < /proc/self/environ; "
        + "grep -E '^(Sig(Blk|Ign)|Cap|NoNew)' /proc/self/status; tail -n +3 /proc/self/net/dev | cut -d: -f1; "
        + "exec ls -d /proc/[0-9]*"
      const lines = (yield* inJail(["/bin/sh", "-c", look], "none")).trim().split("\n")
      assert.deepStrictEqual(
        lines.filter((line) => line.startsWith("fd")),
        ["fd /proc/self/fd/0", "fd /proc/self/fd/1", "fd /proc/self/fd/2"]
      )
      assert.notInclude(lines.join("\n"), "NODE_CHANNEL")
      assert.deepStrictEqual(signals(lines), signalsOfAnyProgram(), lines.join(" | "))
      for (const [name, mask] of signals(lines)) assert.strictEqual(mask & standardSignals, 0n, name)
      assert.lengthOf(lines.filter((line) => /^Cap\w+:\t0+$/.test(line)), 5)
      assert.include(lines, "NoNewPrivs:\t1")
      // bubblewrap and the agent, which has become the `ls`: nothing of ours runs beside them.
      assert.deepStrictEqual(lines.filter((line) => line.startsWith("/proc/")), ["/proc/1", "/proc/2"])
    }))
})

/** An agent whose jail has another first program. */
const agentWith = Effect.fnUntraced(function*(program: string) {
  const file = Path.join(yield* temporaryDirectory, "first.cjs")
  Fs.writeFileSync(file, program)
  const entrypoint = { engine: node, program: file }
  return yield* scriptedAgent({ jail: Jail.layer, network: { ...networkOf("none"), entrypoint } })
})

const markerOf = (runDir: string) =>
  Option.match(RunFiles.readRecord(RunFiles.runFiles(runDir)), { onNone: () => "none", onSome: ({ marker }) => marker })

describe("a jail whose first program fails", () => {
  const programs = {
    "is killed before it listens": "process.kill(process.pid, 'SIGKILL')",
    "is killed once it has handed over": "const s = require('net').createServer().listen(4701, '127.0.0.1', () =>"
      + " process.send({ door: 'model' }, s, {}, () => process.kill(process.pid, 'SIGKILL')))",
    "hands over and does not begin": "const s = require('net').createServer().listen(4701, '127.0.0.1', () =>"
      + " process.send({ door: 'model' }, s)); process.on('message', () => process.disconnect())",
    "ends": "process.exit(0)",
    "says something else": "process.send('hello'); setInterval(() => {}, 1000)",
    "hands over another door": "const s = require('net').createServer().listen(4701, '127.0.0.1', () =>"
      + " process.send({ door: 'hooks' }, s)); setInterval(() => {}, 1000)"
  }
  it.live.each(Object.entries(programs))(
    "fails the attempt with a code and leaves nothing: it %s",
    ([, program]) =>
      Effect.gen(function*() {
        const { agent, directories } = yield* agentWith(program)
        const run = runOf(directories, "hello")
        const failure = yield* Effect.flip(Effect.scoped(agent.start(run)))
        assert.strictEqual(failure.code, "KM-AGT-008")
        assert.isNotEmpty(failure.remedy)
        assert.deepStrictEqual(marked(markerOf(run.runDir)), [])
        assert.isFalse(RunFiles.wasAnswered(RunFiles.runFiles(run.runDir)))
        // The session is free for the next attempt.
        const again = yield* Effect.flip(
          Effect.scoped(agent.start(runOf(directories, "hello", { session: run.session })))
        )
        assert.strictEqual(again.code, "KM-AGT-008")
      })
  )

  it.live("can be stopped while it waits, and nothing of it is left", () =>
    Effect.gen(function*() {
      const { agent, directories } = yield* agentWith("setInterval(() => {}, 1000)")
      const run = runOf(directories, "hello")
      const starting = yield* Effect.forkChild(Effect.scoped(agent.start(run)))
      yield* until(() => marked(markerOf(run.runDir)).length > 1)
      yield* Fiber.interrupt(starting)
      assert.deepStrictEqual(marked(markerOf(run.runDir)), [])
    }))
})

describe("a turn behind doors", () => {
  it.live("has its model and its own servers, and its status says that there is no network", () =>
    Effect.gen(function*() {
      const { agent, directories } = yield* scriptedAgent({
        jail: Jail.layer,
        network: networkOf("none"),
        readOnly: [node]
      })
      assert.match((yield* agent.confinement).detail, /no network$/)
      const serve = "require('http').createServer((q, r) => r.end('served ' + q.url)).listen(8080, '127.0.0.1')"
      const script = `${node} -e "${serve}" & until curl -sf http://127.0.0.1:8080/x; do :; done; kill %1; `
        + `git init -q --bare a.git && git clone -q a.git b && echo cloned`
      const process = yield* agent.start(runOf(directories, bashScript(script)))
      const outcome = JSON.stringify(yield* process.outcome)
      assert.include(outcome, "served /x")
      assert.include(outcome, "cloned")
    }))
})
