/**
 * How a part that `km up` started learns that its supervisor is gone, however it went: the supervisor holds the other
 * end of standard input, and the kernel closes that with it. A pid would have to be polled, and may be reused.
 */
import * as Effect from "effect/Effect"
import process from "node:process"

/** The flag by which a supervisor says that it holds standard input; systemd gives /dev/null, a person a terminal. */
export const endWithStdin = {
  name: "end-with-stdin",
  description: "End when standard input does: for a supervisor that holds its other end"
} as const

/** Completes when standard input has ended or broken; what comes in is thrown away. Never, unless `held`. */
export const parentGone = (held: boolean): Effect.Effect<void> =>
  held
    ? Effect.callback((resume) => {
      const gone = () => resume(Effect.void)
      process.stdin.once("end", gone).once("close", gone).once("error", gone).resume()
      return Effect.sync(() => {
        process.stdin.off("end", gone).off("close", gone).pause()
      })
    })
    : Effect.never
