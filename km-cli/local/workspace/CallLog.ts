/**
 * A log of Web API calls for tests and benches: what was called, by which kind of token, how it ended, how long the
 * workspace itself took. It holds no token and no text.
 */

/** One call. Times are milliseconds. */
export interface LoggedCall {
  readonly seq: number
  readonly at: number
  readonly method: string
  readonly tokenKind: "bot" | "person" | "app" | "none"
  readonly userId: string | undefined
  readonly channel: string | undefined
  readonly ok: boolean
  readonly error: string | undefined
  readonly status: number
  readonly millis: number
  readonly fault: string | undefined
}

/** Calls are kept this far back. */
const kept = 20_000

/** The calls, oldest first. */
export class CallLog {
  readonly #calls: Array<LoggedCall> = []
  #seq = 0

  add(call: Omit<LoggedCall, "seq">): LoggedCall {
    const logged = { ...call, seq: ++this.#seq }
    this.#calls.push(logged)
    if (this.#calls.length > kept * 2) this.#calls.splice(0, this.#calls.length - kept)
    return logged
  }

  list(filter: { readonly method?: string; readonly since?: number } = {}): ReadonlyArray<LoggedCall> {
    return this.#calls.filter((call) =>
      (filter.method === undefined || call.method === filter.method) && call.seq > (filter.since ?? 0)
    )
  }

  clear(): void {
    this.#calls.length = 0
  }
}
