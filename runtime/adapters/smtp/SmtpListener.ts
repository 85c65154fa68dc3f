/**
 * Mail in, from real mail programs: only for the addresses of this install, stored before it is acknowledged. Who wrote a
 * message is for its reader to judge, so nobody logs in, nothing is passed on, and no secret is held here.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type { AddressInfo, Socket } from "node:net"
import { SMTPServer, type SMTPServerDataStream, type SMTPServerSession } from "smtp-server"
import type { SenderId } from "../../domain/sandbox/Ids.ts"
import { asciiLowerCase } from "../../domain/text/Ascii.ts"
import { Mailer, sandboxAt, sizeSentence } from "../../ports/Mail.ts"
import { Sandboxes } from "../../ports/Sandboxes.ts"
import { peerOf, watchClient, type WatchedClient } from "./ClientWatch.ts"
import { type SmtpErrorCode, smtpErrors, SmtpRefused } from "./ErrorCodes.ts"
import { isLoopback } from "./loopback.ts"
import { deliveryIds, hopsOf, traceHeaders } from "./trace.ts"

export interface SmtpLimits {
  /** Connections at a time. */
  readonly maxClients: number
  /** Connections at a time of one client, so that none of them shuts the door on the others. */
  readonly maxPerPeer: number
  /** Milliseconds without a byte after which a client is cut off. */
  readonly idleMillis: number
  /** Milliseconds for one command, however slowly its bytes come. */
  readonly commandMillis: number
  /** Milliseconds for all the commands from one message to the data of the next one. */
  readonly commandsMillis: number
  /** Milliseconds of a connection after which no further message begins. */
  readonly sessionMillis: number
  /** Milliseconds for one message from the beginning of its data. */
  readonly messageMillis: number
  /** Bytes of unfinished messages in memory, over all clients. */
  readonly maxHeldBytes: number
}

export const defaultSmtpLimits: SmtpLimits = {
  maxClients: 32,
  // A quarter of them. Mail programs that open more to one host, as Postfix' 20, try the rest again.
  maxPerPeer: 8,
  // RFC 5321 §4.5.3.2 asks for 5 minutes; a client on this machine or beside it that is silent for one is gone.
  idleMillis: 60_000,
  commandMillis: 60_000,
  // 104 commands at a second each, and some to spare.
  commandsMillis: 120_000,
  sessionMillis: 3_600_000,
  messageMillis: 600_000,
  // Two of the largest messages.
  maxHeldBytes: 192 * 1024 * 1024
}

export interface SmtpListenerOptions {
  readonly host: string
  readonly port: number
  /** Of the install's addresses; also the name that the listener gives itself. */
  readonly domain: string
  /** Bytes of one raw message, where that is less than what the engine takes. */
  readonly maxBytes?: number
  /** PEM, for STARTTLS. */
  readonly tls?: { readonly certificate: string; readonly key: string }
  readonly allowPlain?: boolean
  readonly limits?: Partial<SmtpLimits>
}

/** As many as a signed message may have (docs/email-protocol.md §4). */
const maxRecipients = 100
/** Milliseconds that a connection may take to end. */
const closeMillis = 2_000
/** RFC 5321 §6.3 asks for at least 100 before a loop is assumed. */
const maxHops = 100

/** What a client is told, and whether the connection ends with it. */
interface Refusal {
  readonly responseCode: number
  readonly error: SmtpErrorCode
  readonly detail: string
  readonly close: boolean
}

const refusal = (responseCode: number, error: SmtpErrorCode, detail: string, close = false): Refusal => ({
  responseCode,
  error,
  detail,
  close
})

const textOf = ({ detail, error }: Refusal): string => `${error.code} ${error.what}: ${detail}`

class SmtpReply extends Error {
  readonly responseCode: number
  constructor(refused: Refusal) {
    super(textOf(refused))
    this.responseCode = refused.responseCode
  }
}

/** Bytes in memory: of one message, and of all messages of all clients. */
interface Held {
  own: number
  readonly all: { bytes: number }
}

/** The message as it arrives; nothing more is kept once there is too much of it. */
const collect = (
  stream: SMTPServerDataStream,
  maxBytes: number,
  held: Held,
  limits: SmtpLimits
): Effect.Effect<ReadonlyArray<Buffer>, Refusal> =>
  Effect.callback<ReadonlyArray<Buffer>, Refusal>((resume) => {
    const chunks: Array<Buffer> = []
    const over = (result: Effect.Effect<ReadonlyArray<Buffer>, Refusal>) => {
      stream.removeAllListeners("data")
      resume(result)
    }
    stream.on("data", (chunk: Buffer) => {
      if (held.own + chunk.length > maxBytes) {
        return over(Effect.fail(refusal(552, smtpErrors.tooLarge, sizeSentence({ maxMessageBytes: maxBytes }), true)))
      }
      if (held.all.bytes + chunk.length > limits.maxHeldBytes) {
        return over(Effect.fail(refusal(452, smtpErrors.busy, "try again later", true)))
      }
      held.own += chunk.length
      held.all.bytes += chunk.length
      chunks.push(chunk)
    })
    stream.once("end", () => over(Effect.succeed(chunks)))
    // The client went away in the middle: what it sent is dropped, nobody is left to be answered.
    stream.once("error", () => over(Effect.interrupt))
    return Effect.sync(() => void stream.removeAllListeners("data"))
  }).pipe(
    Effect.timeoutOrElse({
      duration: limits.messageMillis,
      orElse: () => Effect.fail(refusal(421, smtpErrors.tooSlow, "closing the connection", true))
    })
  )

/** Listens until the scope closes. A message that was acknowledged is in the mailboxes of all its recipients. */
export const listen = Effect.fn("SmtpListener.listen")(function*(
  options: SmtpListenerOptions
): Effect.fn.Return<AddressInfo, SmtpRefused, Mailer | Sandboxes | Scope.Scope> {
  const { domain, host, port, tls } = options
  const limits = { ...defaultSmtpLimits, ...options.limits }
  const mailer = yield* Mailer
  const maxBytes = Math.min(options.maxBytes ?? Number.POSITIVE_INFINITY, mailer.limits.maxMessageBytes)
  const sandboxes = yield* Sandboxes
  const all = { bytes: 0 }
  const watched = new Map<SMTPServer["connections"] extends Set<infer C> ? C : never, WatchedClient>()
  if (!isLoopback(host) && tls === undefined && options.allowPlain !== true) {
    return yield* new SmtpRefused({ reason: "plainNetwork", detail: `it was to listen on ${host} without TLS` })
  }

  /** Whose mailbox an address is. */
  const ownerOf = Effect.fnUntraced(function*(address: string) {
    // ASCII alone: a letter beyond it may have one of ours as its lower case, and would be another mailbox's.
    const wanted = asciiLowerCase(address)
    if (wanted === `operator@${domain}`) return "operator" as const
    return Option.getOrUndefined(yield* sandboxAt(sandboxes, wanted))?.id
  }, Effect.mapError((error) => refusal(451, smtpErrors.notStored, error.reason)))

  const recipient = Effect.fnUntraced(function*(address: string) {
    const owner = yield* ownerOf(address)
    return owner ?? (yield* Effect.fail(refusal(550, smtpErrors.noMailbox, address)))
  })

  const store = Effect.fnUntraced(function*(chunks: ReadonlyArray<Buffer>, session: SMTPServerSession) {
    const at = yield* Clock.currentTimeMillis
    const mailFrom = session.envelope.mailFrom === false ? "" : session.envelope.mailFrom.address
    const owners = new Set<SenderId>()
    for (const { address } of session.envelope.rcptTo) {
      const owner = yield* ownerOf(address)
      if (owner === undefined) return yield* Effect.fail(refusal(554, smtpErrors.gone, address))
      owners.add(owner)
    }
    const trace = Buffer.from(traceHeaders({
      helo: session.hostNameAppearsAs,
      remoteAddress: session.remoteAddress,
      by: domain,
      protocol: session.transmissionType,
      id: `${session.id}.${session.transaction}`,
      at,
      mailFrom
    }))
    const delivered = Buffer.concat([trace, ...chunks])
    const raw = delivered.subarray(trace.length)
    if (hopsOf(raw) > maxHops) return yield* Effect.fail(refusal(554, smtpErrors.loop, `more than ${maxHops} servers`))
    const ids = deliveryIds(mailFrom, raw, at)
    const [id, ...alsoKnownAs] = ids
    yield* mailer.send({ id, alsoKnownAs, to: [...owners], raw: delivered })
    yield* Effect.logInfo("mail taken in").pipe(
      Effect.annotateLogs({ delivery: id, bytes: raw.length, recipients: owners.size })
    )
  }, (effect) =>
    Effect.catchTag(effect, "StoreError", (error) =>
      Effect.andThen(
        Effect.logError("mail is not taken in", error.message),
        Effect.fail(
          error.reason === "TooLarge"
            ? refusal(552, smtpErrors.tooLarge, sizeSentence({ maxMessageBytes: maxBytes }))
            : refusal(451, smtpErrors.notStored, error.reason)
        )
      )))

  const context = yield* Effect.context<never>()
  const runFork = Effect.runForkWith(context)
  /** Answers by `done` unless the client is gone; what is no refusal is a bug, and the client may try again. */
  const answer = <A>(effect: Effect.Effect<A, Refusal>, done: (refused: Refusal | undefined) => void) => {
    runFork(Effect.result(effect)).addObserver((exit) => {
      if (Exit.isFailure(exit)) {
        if (!Exit.hasInterrupts(exit)) done(refusal(451, smtpErrors.notStored, "try again later"))
        return
      }
      done(Result.isFailure(exit.value) ? exit.value.failure : undefined)
    })
  }

  const connectionOf = (session: SMTPServerSession) => [...server.connections].find((one) => one.session === session)
  const watchedBy = (session: SMTPServerSession) => {
    const connection = connectionOf(session)
    return connection === undefined ? undefined : watched.get(connection)
  }

  /** The newest connection, as soon as the server has taken it: refused when its client has its share, else watched. */
  const received = (socket: Socket) => {
    const connection = [...server.connections].at(-1)
    if (connection === undefined || connection.remoteAddress === "") return
    const peer = peerOf(connection.remoteAddress)
    const own = [...server.connections].filter(({ remoteAddress }) => peerOf(remoteAddress) === peer).length
    const refuse = (error: SmtpErrorCode, detail: string) => {
      connection.send(421, textOf(refusal(421, error, detail)), false)
      connection.close()
    }
    if (own > limits.maxPerPeer) return refuse(smtpErrors.tooMany, `at most ${limits.maxPerPeer}`)
    const client = Effect.runSyncWith(context)(watchClient(limits, () => {
      refuse(smtpErrors.idle, "closing the connection")
      // Whatever it makes of that, in the middle of a TLS handshake too.
      setTimeout(() => socket.destroy(), closeMillis).unref()
    }))
    watched.set(connection, client)
    const send = connection.send.bind(connection)
    connection.send = (...reply) => {
      send(...reply)
      client.answered()
    }
    socket.once("close", () => {
      client.gone()
      watched.delete(connection)
    })
  }

  const server = yield* Effect.try({
    try: () =>
      new SMTPServer({
        name: domain,
        banner: "km",
        disabledCommands: ["AUTH", "WIZ", "SHELL", "KILL", ...(tls === undefined ? ["STARTTLS"] : [])],
        ...(tls === undefined ? {} : { cert: tls.certificate, key: tls.key }),
        size: maxBytes,
        maxRecipients,
        maxClients: limits.maxClients,
        socketTimeout: limits.idleMillis,
        closeTimeout: closeMillis,
        // RFC 5321 §4.5.3.1.4 has 512 octets; extensions and long addresses add to it.
        maxCommandLength: 4_096,
        disableReverseLookup: true,
        logger: false,
        onRcptTo: ({ address }, _session, callback) =>
          answer(recipient(address), (refused) => callback(refused === undefined ? null : new SmtpReply(refused))),
        onData: (stream, session, callback) => {
          const held = { own: 0, all }
          const client = watchedBy(session)
          client?.began()
          const taken = collect(stream, maxBytes, held, limits).pipe(
            Effect.flatMap((chunks) => store(chunks, session)),
            Effect.ensuring(Effect.sync(() => {
              all.bytes -= held.own
            }))
          )
          answer(taken, (refused) => {
            client?.finished(refused === undefined)
            if (refused === undefined) return callback(null, "OK: stored")
            if (!refused.close) return callback(new SmtpReply(refused))
            // It goes on sending what nobody wants: it is told now, and not read to its end.
            const connection = connectionOf(session)
            connection?.send(refused.responseCode, textOf(refused))
            connection?.close()
          })
        }
      }),
    catch: (cause) =>
      new SmtpRefused({ reason: "certificate", detail: cause instanceof Error ? cause.message : String(cause) })
  })
  const connect = server.connect.bind(server)
  server.connect = (socket, socketOptions) => {
    connect(socket, socketOptions)
    received(socket)
  }
  // Faults of single connections; each has ended with its own.
  server.on("error", (error) => void runFork(Effect.logDebug("an SMTP connection failed", error.message)))
  yield* Effect.acquireRelease(
    Effect.callback<void, SmtpRefused>((resume) => {
      const failed = (error: Error) =>
        resume(Effect.fail(new SmtpRefused({ reason: "notListening", detail: error.message })))
      server.server.once("error", failed)
      server.listen(port, host, () => {
        server.server.off("error", failed)
        resume(Effect.void)
      })
    }),
    () => Effect.callback<void>((resume) => server.close(() => resume(Effect.void)))
  )
  const address = server.server.address()
  return typeof address === "object" && address !== null
    ? address
    : yield* new SmtpRefused({ reason: "notListening", detail: "it has no address" })
})
