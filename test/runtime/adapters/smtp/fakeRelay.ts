/** A relay on loopback that does what it is told to each recipient, and remembers what it was given. */
import { Effect } from "effect"
import { SMTPServer } from "smtp-server"

export interface Taken {
  readonly from: string
  readonly to: ReadonlyArray<string>
  readonly raw: string
}

export interface RelayManners {
  /** The answer to a recipient; 250 unless told otherwise. */
  recipient: (address: string) => number
  /** The answer to the data, and anything else that is to happen before it. */
  data: (taken: Taken) => number | Promise<number>
  readonly user?: { readonly name: string; password: string }
  readonly size?: number
  /** PEM, for TLS from the first byte; without them STARTTLS is offered with a certificate that nobody trusts, or, as `plain`, not at all. */
  readonly plain?: boolean
  readonly tls?: { readonly key: string; readonly cert: string }
}

const reply = (code: number) => Object.assign(new Error(`relay says ${code}`), { responseCode: code })

export const fakeRelay = (manners: Partial<RelayManners> = {}) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly port: number; readonly taken: Array<Taken>; readonly end: () => void }>((resume) => {
      const taken: Array<Taken> = []
      const { plain = false, size, tls, user } = manners
      const server = new SMTPServer({
        logger: false,
        disabledCommands: [...(user === undefined ? ["AUTH"] : []), ...(plain ? ["STARTTLS"] : [])],
        ...(tls === undefined ? {} : { secure: true, ...tls }),
        allowInsecureAuth: true,
        closeTimeout: 10,
        ...(size === undefined ? {} : { size, rejectOversized: true }),
        onAuth: ({ password, username }, _session, done) =>
          user !== undefined && username === user.name && password === user.password
            ? done(null, { user: username })
            : done(reply(535)),
        onRcptTo: ({ address }, _session, done) => {
          const code = manners.recipient?.(address) ?? 250
          done(code === 250 ? null : reply(code))
        },
        onData: (stream, { envelope }, done) => {
          const chunks: Array<Buffer> = []
          stream.on("error", () => undefined)
          stream.on("data", (chunk: Buffer) => void chunks.push(chunk))
          const answer = async (one: Taken) => {
            const code = await manners.data?.(one) ?? 250
            if (code === 250) taken.push(one)
            done(code === 250 ? null : reply(code))
          }
          stream.once("end", () => {
            void answer({
              from: envelope.mailFrom === false ? "" : envelope.mailFrom.address,
              to: envelope.rcptTo.map(({ address }) => address),
              raw: Buffer.concat(chunks).toString("latin1")
            })
          })
        }
      })
      server.on("error", () => undefined)
      server.listen(0, "127.0.0.1", () => {
        const address = server.server.address()
        const port = typeof address === "object" && address !== null ? address.port : 0
        resume(Effect.succeed({ port, taken, end: () => server.close() }))
      })
    }),
    ({ end }) => Effect.sync(end)
  )
