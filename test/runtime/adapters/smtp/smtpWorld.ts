/** A listener over a real engine on disk, with the mailboxes of the mail tests' parties, and a client that can misbehave. */
import { Duration, Effect, Layer, Logger, Option, Schema } from "effect"
import type { Scope } from "effect"
import * as net from "node:net"
import { createTransport } from "nodemailer"
import { listen, type SmtpListenerOptions } from "../../../../runtime/adapters/smtp/SmtpListener.ts"
import { Alias, SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../../../runtime/domain/sandbox/Sandbox.ts"
import * as EmbeddedEngine from "../../../../runtime/engines/embedded/EmbeddedEngine.ts"
import * as SqliteMailSpool from "../../../../runtime/engines/embedded/SqliteMailSpool.ts"
import { type FiledMail, Mailbox, type Mailer, type MailOutbox, wholeOf } from "../../../../runtime/ports/Mail.ts"
import type { MailSpool } from "../../../../runtime/ports/MailSpool.ts"
import { Sandboxes } from "../../../../runtime/ports/Sandboxes.ts"
import { alice, bob, carol, install } from "../../../plugins/email/world.ts"
import { delivered } from "../../../support/deliveredMail.ts"
import { profileWith } from "../../../support/profiles.ts"
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts"

export const domain = "mail.example"

export const parties = [alice, bob, carol]

/** By whichever of its addresses is not made of its id. */
const aliasOf = (id: string, mailAddresses: ReadonlyArray<string>): { readonly alias?: Alias } => {
  const other = mailAddresses.map((address) => address.slice(0, address.indexOf("@"))).find((name) => name !== id)
  return Schema.is(Alias)(other) ? { alias: other } : {}
}

export const rowOf = (id: string, mailAddresses: ReadonlyArray<string>): SandboxRow => ({
  id: SandboxId.make(id),
  ...aliasOf(id, mailAddresses),
  install,
  profile: profileWith(),
  desired: "running",
  status: "running",
  mailAddresses,
  unconfined: true,
  createdAt: 0,
  generation: "1",
  inventory: []
})

export const insertParties = Effect.gen(function*() {
  const sandboxes = yield* Sandboxes
  for (const { addresses, sender } of parties) yield* sandboxes.insert(rowOf(sender, addresses))
})

/** Runs over an engine of its own with everybody's row in it. */
export const withEngine = <A, E, R>(
  effect: Effect.Effect<A, E, R | Mailer | Mailbox | MailOutbox | MailSpool | Sandboxes | Scope.Scope>
) =>
  Effect.scoped(Effect.gen(function*() {
    const directory = yield* temporaryDirectory
    return yield* Effect.andThen(insertParties, effect).pipe(
      Effect.provide(Layer.mergeAll(
        delivered(Layer.fresh(EmbeddedEngine.layer(directory))),
        Layer.fresh(SqliteMailSpool.layer(directory)),
        Logger.layer([])
      ))
    )
  }))

export const listening = (options: Partial<SmtpListenerOptions> = {}) =>
  Effect.map(
    listen({ host: "127.0.0.1", port: 0, domain, maxBytes: 1024 * 1024, ...options }),
    ({ port }) => port
  )

/** What waits to be judged, oldest first; each is filed, so that it is not seen again. */
export const arrivals = Effect.fnUntraced(function*(owner: SandboxId | "operator") {
  const mailbox = yield* Mailbox
  const found: Array<{ readonly id: string; readonly raw: Uint8Array }> = []
  while (true) {
    const leased = yield* mailbox.lease(owner, Duration.minutes(1))
    if (Option.isNone(leased)) return found
    const { id, receipt } = leased.value
    const raw = Option.getOrThrow(yield* mailbox.raw(owner, id))
    yield* mailbox.file(owner, receipt, { folder: "inbox", summary: "", content: "" })
    found.push({ id, raw: yield* wholeOf(raw) })
  }
})

export const filed = (owner: SandboxId | "operator"): Effect.Effect<ReadonlyArray<FiledMail>, unknown, Mailbox> =>
  Effect.flatMap(Mailbox, (mailbox) => mailbox.list(owner, "inbox", { limit: 1_000 }))

export class NotSent extends Schema.TaggedError<NotSent>()("NotSent", { message: Schema.String }) {}

/** nodemailer's client: what a program of this language would use. */
export const mailClient = (port: number, connections = 1) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() =>
        createTransport({
          host: "127.0.0.1",
          port,
          pool: true,
          maxConnections: connections,
          maxMessages: Infinity,
          ignoreTLS: true
        })
      ),
      (transport) => Effect.sync(() => transport.close())
    ),
    (transport) => (from: string, to: ReadonlyArray<string>, raw: Uint8Array | string) =>
      Effect.tryPromise({
        try: () => transport.sendMail({ envelope: { from, to: [...to] }, raw: Buffer.from(raw) }),
        catch: (cause) => new NotSent({ message: cause instanceof Error ? cause.message : String(cause) })
      })
  )

/** A client that says exactly what it is told to. */
export interface RawClient {
  readonly greeting: string
  /** Sends the line, and waits for the whole reply to it. */
  readonly say: (line: string) => Effect.Effect<string>
  /** Sends bytes as they are and waits for nothing; completes once they are on their way. */
  readonly send: (bytes: string | Uint8Array) => Effect.Effect<void>
  /** The next reply. */
  readonly reply: Effect.Effect<string>
  /** Completes when the other side has ended the connection. */
  readonly ended: Effect.Effect<void>
  /** RST: the process is gone. */
  readonly kill: Effect.Effect<void>
}

/** `from` is the address that it connects from. */
export const rawClient = (port: number, from = "127.0.0.1"): Effect.Effect<RawClient, never, Scope.Scope> =>
  Effect.gen(function*() {
    const socket = yield* Effect.acquireRelease(
      Effect.sync(() => net.connect({ port, host: "127.0.0.1", localAddress: from, allowHalfOpen: true })),
      (open) => Effect.sync(() => open.destroy())
    )
    let text = ""
    let over = false
    const listeners = new Set<() => void>()
    const changed = () => {
      for (const listener of listeners) listener()
    }
    const ended = () => {
      over = true
      changed()
    }
    socket.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk
      changed()
    })
    socket.on("end", ended).on("close", ended).on("error", ended)
    const when = <A>(look: () => Effect.Effect<A> | undefined) =>
      Effect.callback<A>((resume) => {
        const check = () => {
          const found = look()
          if (found === undefined) return
          listeners.delete(check)
          resume(found)
        }
        listeners.add(check)
        check()
        return Effect.sync(() => void listeners.delete(check))
      })
    const reply = when(() => {
      const [whole] = /^(\d{3}-.*\r\n)*\d{3} .*\r\n/.exec(text) ?? []
      if (whole === undefined) return over ? Effect.die(new Error(`the connection ended: ${text}`)) : undefined
      text = text.slice(whole.length)
      return Effect.succeed(whole.trim())
    })
    const send = (bytes: string | Uint8Array) =>
      Effect.callback<void>((resume) => {
        socket.write(bytes, () => resume(Effect.void))
      })
    const greeting = yield* reply
    return {
      greeting,
      send,
      reply,
      say: (line) => Effect.andThen(send(`${line}\r\n`), reply),
      ended: when(() => over ? Effect.void : undefined),
      kill: Effect.sync(() => socket.resetAndDestroy())
    }
  })
