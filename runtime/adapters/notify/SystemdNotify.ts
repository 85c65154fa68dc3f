/**
 * Tells systemd how the runtime is. Node cannot open the notify socket (a datagram socket), so `systemd-notify` does;
 * the unit allows it by `NotifyAccess=all`.
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { execFile } from "node:child_process"

export interface Notifier {
  /** Start-up is over. Only the first call is sent. */
  readonly ready: Effect.Effect<void>
  readonly stopping: Effect.Effect<void>
  /** One line for `systemctl status`. */
  readonly status: (line: string) => Effect.Effect<void>
}

const silent: Notifier = { ready: Effect.void, stopping: Effect.void, status: () => Effect.void }

/**
 * Silent without `NOTIFY_SOCKET`. Takes the variable out of this process's environment: nobody that we start inherits
 * it by accident, and who has it can say READY in our name. `program` is looked up in systemd's own directories.
 */
export const make = (program = "systemd-notify") =>
  Effect.gen(function*() {
    const socket = yield* Effect.option(Config.String("NOTIFY_SOCKET"))
    yield* Effect.sync(() => void Reflect.deleteProperty(process.env, "NOTIFY_SOCKET"))
    if (Option.isNone(socket)) return silent
    const env = { NOTIFY_SOCKET: socket.value, PATH: "/usr/bin:/bin:/usr/local/bin" }

    const send = (...args: ReadonlyArray<string>): Effect.Effect<void> =>
      Effect.callback<void>((resume) => {
        execFile(
          program,
          args,
          { env, timeout: 5_000 },
          (error) => resume(error === null ? Effect.void : Effect.logWarning("systemd was not told", error.message))
        )
      })

    let told = false
    return {
      ready: Effect.suspend(() => {
        if (told) return Effect.void
        told = true
        return send("--ready", `--pid=${process.pid}`)
      }),
      stopping: send("STOPPING=1"),
      status: (line) => send(`--status=${line.replace(/\s+/g, " ").slice(0, 200)}`)
    } satisfies Notifier
  })
