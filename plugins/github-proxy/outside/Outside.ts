/** How the proxy reaches the world: a name is resolved once, the answer judged, and the judged address is what is dialled. */
import * as Data from "effect/Data"
import { lookup } from "node:dns/promises"
import { connect, type Socket } from "node:net"
import { getCACertificates } from "node:tls"
import { isNetworkAddress, isPublicAddress } from "./publicAddress.ts"

/** What the proxy asks of the machine. Tests give their own: nothing is then resolved or dialled. */
export interface Outside {
  /** Addresses of a name in the order to try. Rejects where there is none. */
  readonly resolve: (host: string) => Promise<ReadonlyArray<string>>
  /** Begins a connection to an address that was judged. */
  readonly dial: (address: string, port: number) => Socket
  /** Authorities that servers must be certified by, PEM. */
  readonly authorities: ReadonlyArray<string>
  /**
   * Names whose address may be one of a private network, never this machine's own: a GitHub Enterprise host of the company
   * on which the install has an App. Lower case.
   */
  readonly privateHosts: ReadonlyArray<string>
  /**
   * Names below `test` with the port at which this machine itself serves a GitHub, by plain HTTP. Not resolved. Every
   * other way to loopback is refused.
   */
  readonly loopback: ReadonlyMap<string, number>
}

/** Of an install's own GitHubs, how they are reached. */
export type OwnGitHubs = Pick<Outside, "loopback" | "privateHosts">

/** The machine's own resolver and network, and the authorities that Node brings and the system believes. */
export const machine = (own: OwnGitHubs): Outside => ({
  resolve: async (host) => (await lookup(host, { all: true, verbatim: true })).map(({ address }) => address),
  dial: (address, port) => connect({ host: address, port }),
  authorities: [...new Set([...getCACertificates("default"), ...getCACertificates("system")])],
  ...own
})

/** Whether nothing but this machine sees the connection, so that it needs no TLS. */
export const isLoopback = ({ loopback }: Outside, host: string, port: number): boolean => loopback.get(host) === port

/** Nothing was dialled, or the connection never stood. */
export class NotReached extends Data.TaggedError("NotReached")<{
  readonly host: string
  readonly reason: "NoAddress" | "PrivateAddress" | "NoConnection"
  readonly detail: string
}> {
  override get message(): string {
    return this.detail
  }
}

/** Something on the way to a server or back failed, other than reaching it. */
export class OutsideFailed extends Data.TaggedError("OutsideFailed")<{ readonly cause: unknown }> {
  override get message(): string {
    return this.cause instanceof Error ? this.cause.message : String(this.cause)
  }
}

/** Whatever a promise to the outside was rejected with. */
export const outsideFailed = (thrown: unknown): NotReached | OutsideFailed =>
  thrown instanceof NotReached ? thrown : new OutsideFailed({ cause: thrown })

/** A connection that does not stand by then will not. */
const connectMillis = 15_000

/** Waits until the socket is connected; destroyed where it is not. */
const connected = (socket: Socket): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const settle = (then: () => void) => {
      socket.off("connect", onConnect)
      socket.off("error", onError)
      socket.off("close", onClose)
      clearTimeout(timer)
      then()
    }
    const onConnect = () => settle(() => resolve(socket))
    const onError = (error: Error) => settle(() => reject(error))
    const onClose = () => settle(() => reject(new Error("the connection was closed")))
    const timer = setTimeout(() => {
      settle(() => reject(new Error(`no connection within ${connectMillis / 1000} s`)))
      socket.destroy()
    }, connectMillis)
    socket.once("connect", onConnect)
    socket.once("error", onError)
    socket.once("close", onClose)
  })

/**
 * A connection to `host`, by the first judged address that takes it. One private answer refuses the name whole: who
 * controls its zone could otherwise have the good one fail and the bad one dialled.
 */
export const dialName = async (outside: Outside, host: string, port: number): Promise<Socket> => {
  if (isLoopback(outside, host, port)) {
    return connected(outside.dial("127.0.0.1", port)).catch((error: unknown) => {
      throw new NotReached({ host, reason: "NoConnection", detail: `${host} does not answer: ${String(error)}` })
    })
  }
  const addresses = await outside.resolve(host).catch((error: unknown) => {
    throw new NotReached({ host, reason: "NoAddress", detail: `the name ${host} cannot be resolved: ${String(error)}` })
  })
  const mayBePrivate = outside.privateHosts.includes(host)
  const hidden = addresses.find((address) => !isPublicAddress(address) && !(mayBePrivate && isNetworkAddress(address)))
  if (hidden !== undefined) {
    throw new NotReached({
      host,
      reason: "PrivateAddress",
      detail: `${host} has the address ${hidden}, which is not on the internet`
    })
  }
  let last = "it has no address"
  for (const address of addresses.slice(0, 4)) {
    try {
      return await connected(outside.dial(address, port))
    } catch (error) {
      last = error instanceof Error ? error.message : String(error)
    }
  }
  throw new NotReached({ host, reason: "NoConnection", detail: `${host} does not answer: ${last}` })
}
