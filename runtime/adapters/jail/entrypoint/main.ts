/**
 * The first program in a jail without a network: listens on the jail's loopback for each door, hands the listening sockets
 * to the runtime outside, and becomes the agent. So the runtime itself accepts what is connected inside, and nothing of
 * ours runs beside the agent.
 *
 * Arguments: `name=port …` of the doors, `--`, then the agent's command with its absolute path. Plain Node without Effect
 * and in one file, because every turn waits for it and the jail shows it alone. It runs before anything of the agent does.
 */
import { createServer, type Server } from "node:net"
import process from "node:process"

/** Why, for the end of the run's standard error; the runtime sees that the doors did not come. */
const fail = (why: string): never => {
  process.stderr.write(`km-entrypoint: ${why}\n`)
  process.exit(70)
}

const split = process.argv.indexOf("--")
const doors = process.argv.slice(2, split).map((word) => {
  const [name = "", port = ""] = word.split("=")
  return { name, port: Number(port) }
})
const [program = "", ...rest] = process.argv.slice(split + 1)

/** Node ignores these, and what is ignored stays so in the next program; what is handled begins anew. */
for (const signal of ["SIGPIPE", "SIGXFSZ"] as const) process.on(signal, () => undefined)

const become = (): never => {
  const environment = Object.entries(process.env).filter(([name]) => !name.startsWith("NODE_CHANNEL_"))
  try {
    process.execve?.(program, [program, ...rest], Object.fromEntries(environment))
  } catch (error) {
    fail(String(error))
  }
  return fail("this Node cannot become another program")
}

const listen = (port: number): Promise<Server> =>
  new Promise((resolve, reject) => {
    const server = createServer()
    server.once("error", reject)
    server.listen({ host: "127.0.0.1", port }, () => resolve(server))
  })

const handOver = async (): Promise<void> => {
  const send = process.send?.bind(process)
  if (send === undefined || split < 0 || program === "") return fail("it is not started by the runtime")
  for (const { name, port } of doors) {
    const server = await listen(port)
    await new Promise<void>((resolve, reject) =>
      send({ door: name }, server, {}, (error) => error === null ? resolve() : reject(error))
    )
  }
}

let taken = false
process.on("message", (message) => {
  if (message !== "taken") return
  taken = true
  process.send?.("begins", () => process.disconnect())
})
// Also when the runtime is gone; then the agent must not begin.
process.on("disconnect", () => taken ? become() : fail("the runtime hung up"))
handOver().catch((error: unknown) => fail(String(error)))
