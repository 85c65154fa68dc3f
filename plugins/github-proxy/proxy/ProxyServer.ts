/**
 * The proxy's front: CONNECT and absolute targets, as every client speaks to a proxy. TLS to a name of GitHub's ends here;
 * connections to hosts that the profile names are passed on unread; everything else is refused.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from "node:http"
import type { Socket } from "node:net"
import { pipeline } from "node:stream"
import { TLSSocket } from "node:tls"
import {
  type Destination,
  type HostPattern,
  matchesHost,
  parseDestination
} from "../../../runtime/domain/profile/HostPatterns.ts"
import type { SandboxAuthority } from "../certificates/SandboxAuthority.ts"
import { dialName, type Outside, outsideFailed } from "../outside/Outside.ts"
import { malformedAnswer, sendAnswer } from "../request/Answers.ts"
import { gitHubAddress, gitHubHost, isServed } from "../request/GitHubHosts.ts"
import type { ProxyContext, RunIdentity } from "./Context.ts"
import { plainRequest } from "./PlainHttp.ts"
import { intercepted } from "./Requests.ts"

export interface ProxyOptions {
  /** One for each GitHub, `github.com` or an Enterprise host; at least one. */
  readonly contexts: readonly [ProxyContext, ...ReadonlyArray<ProxyContext>]
  readonly authority: SandboxAuthority
  readonly outside: Outside
  readonly allowedHosts: ReadonlyArray<HostPattern>
  /** Of which run a connection is that did not come by a jail's door, by the credential that it shows; of none otherwise. */
  readonly runOf: (credential: string) => RunIdentity | undefined
}

export interface ProxyServer {
  /** Takes a connection that was accepted inside a jail: nobody but its run can have made it. */
  readonly take: (socket: Socket, run: RunIdentity) => void
  /** Takes a connection from anywhere on this machine: the credential decides. */
  readonly takeStranger: (socket: Socket) => void
  /** The run is over: cuts what is open of it. */
  readonly cut: (run: RunIdentity) => void
}

/** A body may take as long as it does; a head may not. */
const serverOptions: ServerOptions = {
  maxHeaderSize: 32 * 1024,
  headersTimeout: 30_000,
  requestTimeout: 0,
  keepAliveTimeout: 75_000,
  insecureHTTPParser: false,
  requireHostHeader: true
}

/** The password, whoever says to be its user; empty where there is none, which is nobody's. */
const shownCredential = (header: string | undefined): string => {
  const [, value = ""] = /^Basic +([A-Za-z0-9+/=]+)$/iu.exec(header ?? "") ?? []
  const shown = Buffer.from(value, "base64").toString("utf8")
  const colon = shown.indexOf(":")
  return colon < 0 ? "" : shown.slice(colon + 1)
}

const notYours =
  "km: refused: this proxy is for the runs of one sandbox, each with its own credential, until the run ends"

const text = (status: string, sentence: string, more: ReadonlyArray<string> = []): string => {
  const body = `${sentence}\n`
  return [
    `HTTP/1.1 ${status}`,
    "Content-Type: text/plain; charset=utf-8",
    `Content-Length: ${Buffer.byteLength(body)}`,
    "Connection: close",
    ...more,
    "",
    body
  ].join("\r\n")
}

/** Node's words for what its parser refuses are few; the code says which rule of HTTP it was. */
const onClientError = (error: Error & { readonly code?: string }, socket: Socket): void => {
  if (socket.writable) {
    socket.end(text("400 Bad Request", `km: the request is refused: it is not HTTP (${error.code ?? "?"})`))
  } else socket.destroy()
}

/** Serves until the scope closes, which cuts whatever is open. */
export const makeProxyServer = Effect.fnUntraced(function*(
  { allowedHosts, authority, contexts, outside, runOf }: ProxyOptions
): Effect.fn.Return<ProxyServer, never, Scope.Scope> {
  const [context] = contexts
  /**
   * Of the GitHub that serves the name, or to which it belongs; undefined for names that are nobody's. Two may differ in
   * their port alone.
   */
  const contextOf = (host: string, port: number): ProxyContext | undefined =>
    contexts.find(({ github }) => isServed(host, github) && gitHubAddress(github).port === port) ??
      contexts.find(({ github }) => isServed(host, github)) ??
      contexts.find(({ github }) => gitHubHost(host, github) !== undefined)
  const runFork = Effect.runForkWith(yield* Effect.context())
  const runs = new WeakMap<Socket, RunIdentity>()
  const strangers = new WeakSet<Socket>()
  const destinations = new WeakMap<Socket, Destination & { readonly run: RunIdentity | undefined }>()
  const open = new Set<Socket>()

  const hold = (socket: Socket): void => {
    open.add(socket)
    socket.once("close", () => open.delete(socket))
    // What follows a fault is told by whoever reads or writes there.
    socket.on("error", () => undefined)
  }

  const mayPass = ({ headers, socket }: IncomingMessage): boolean => {
    if (!strangers.has(socket)) return true
    const run = runOf(shownCredential(headers["proxy-authorization"]))
    // A connection may be used again by another run of the same user.
    if (run !== undefined) runs.set(socket, run)
    return run !== undefined
  }

  /** `refused`: what the client is told. */
  const journal = (run: RunIdentity | undefined, subject: string, rule: string, refused?: string) =>
    context.journal({
      run,
      subject,
      rule,
      verdict: refused === undefined ? "allowed" : "refused",
      detail: "",
      ...(refused === undefined ? {} : { told: `${refused.replace(/^km: /u, "")} (${rule})` }),
      since: context.now()
    })

  const inside = createServer(serverOptions)
  const onInside = (request: IncomingMessage, response: ServerResponse): void => {
    const destination = destinations.get(request.socket)
    if (destination === undefined) return void request.socket.destroy()
    const owner = contextOf(destination.host, destination.port) ?? context
    const fiber = runFork(intercepted(owner, { request, response, ...destination }))
    response.once("close", () => response.writableFinished ? undefined : fiber.interruptUnsafe())
  }
  inside.on("request", onInside).on("checkContinue", onInside).on("clientError", onClientError)
  inside.on("checkExpectation", (_, response: ServerResponse) => void response.writeHead(417).end())

  const intercept = (socket: Socket, head: Buffer, destination: Destination): void => {
    const { host } = destination
    socket.write("HTTP/1.1 200 Connection established\r\n\r\n")
    if (head.length > 0) socket.unshift(head)
    const secure = new TLSSocket(socket, {
      isServer: true,
      secureContext: authority.contextFor(host),
      ALPNProtocols: ["http/1.1"],
      // Who asks for another name inside than outside means to be judged by one and reach the other.
      SNICallback: (name, answer) =>
        name.toLowerCase() === host
          ? answer(null, authority.contextFor(host))
          : answer(new Error(`the connection is for ${host}`))
    })
    hold(secure)
    destinations.set(secure, { ...destination, run: runs.get(socket) })
    inside.emit("connection", secure)
  }

  const tunnel = (socket: Socket, head: Buffer, destination: Destination): Effect.Effect<void> =>
    Effect.tryPromise({
      try: () => dialName(outside, destination.host, destination.port),
      catch: outsideFailed
    }).pipe(
      Effect.match({
        onFailure: (error) =>
          void socket.end(
            error._tag === "NotReached" && error.reason === "PrivateAddress"
              ? text("403 Forbidden", `km: refused: ${error.message}`)
              : text("502 Bad Gateway", `km: ${error.message}`)
          ),
        onSuccess: (away) => {
          hold(away)
          if (socket.destroyed) return void away.destroy()
          socket.write("HTTP/1.1 200 Connection established\r\n\r\n")
          if (head.length > 0) away.write(head)
          pipeline(socket, away, () => undefined)
          pipeline(away, socket, () => undefined)
        }
      })
    )

  const onConnect = (request: IncomingMessage, socket: Socket, head: Buffer): void => {
    const refuse = (status: string, sentence: string, more?: ReadonlyArray<string>) =>
      void socket.end(text(status, sentence, more))
    if (!mayPass(request)) {
      return refuse("407 Proxy Authentication Required", notYours, [
        "Proxy-Authenticate: Basic realm=\"km\""
      ])
    }
    const run = runs.get(socket)
    const authority_ = request.url ?? ""
    const destination = parseDestination(authority_, 443)
    /** Nothing is answered that is not written down, save that it was not. */
    const decided = (subject: string, rule: string, refused: string | undefined, then: Effect.Effect<void>) =>
      void runFork(Effect.matchEffect(journal(run, subject, rule, refused), {
        onFailure: () =>
          Effect.sync(() => refuse("503 Service Unavailable", "km: the decision could not be written down; try again")),
        onSuccess: () => then
      }))
    const forbid = (subject: string, rule: string, why: string) =>
      decided(subject, rule, why, Effect.sync(() => refuse("403 Forbidden", why)))
    if (destination === undefined) {
      return forbid(
        authority_,
        "host.malformed",
        "km: refused: a destination is the name of a host and a port; no address, no dot at its end"
      )
    }
    const { host, port } = destination
    const named = `${host}:${port}`
    const owner = contextOf(host, port)
    if (owner !== undefined) {
      const served = gitHubAddress(owner.github).port
      if (port === served) return intercept(socket, head, destination)
      return forbid(named, "host.port", `km: refused: ${host} is reached on port ${served} only`)
    }
    if (!allowedHosts.some((pattern) => matchesHost(pattern, destination, 443))) {
      return forbid(
        named,
        "host.unlisted",
        `km: refused: ${named} is not in spec.network.allowedHosts; to allow it: add it there`
      )
    }
    decided(named, "network.allowedHosts", undefined, tunnel(socket, head, destination))
  }

  const outer = createServer(serverOptions)
  outer.on("connect", (request: IncomingMessage, socket: Socket, head: Buffer) => onConnect(request, socket, head))
  outer.on("clientError", onClientError)
  outer.on("checkExpectation", (_, response: ServerResponse) => void response.writeHead(417).end())
  const onPlain = (request: IncomingMessage, response: ServerResponse): void => {
    if (!mayPass(request)) {
      response.setHeader("proxy-authenticate", "Basic realm=\"km\"")
      return sendAnswer(response, { status: 407, lines: [notYours] })
    }
    if (!/^http:\/\//i.test(request.url ?? "")) {
      return sendAnswer(
        response,
        malformedAnswer("this is a proxy, and its requests name a whole URL that begins with http://")
      )
    }
    const fiber = runFork(
      plainRequest({ context, isGitHub: (host) => contextOf(host, 443) !== undefined, outside, allowedHosts }, {
        request,
        response,
        run: runs.get(request.socket)
      })
    )
    response.once("close", () => response.writableFinished ? undefined : fiber.interruptUnsafe())
  }
  outer.on("request", onPlain).on("checkContinue", onPlain)

  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      for (const socket of open) socket.destroy()
      outer.close()
      inside.close()
    })
  )
  const serve = (server: Server, socket: Socket): void => {
    hold(socket)
    server.emit("connection", socket)
  }
  return {
    take: (socket, run) => {
      runs.set(socket, run)
      serve(outer, socket)
    },
    takeStranger: (socket) => {
      strangers.add(socket)
      serve(outer, socket)
    },
    cut: (run) => {
      for (const socket of open) if (runs.get(socket) === run) socket.destroy()
    }
  }
})
