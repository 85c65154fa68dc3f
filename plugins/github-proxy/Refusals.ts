/** What each turn was refused, kept until people are told of it in its thread. */
import { foreignLine } from "../../runtime/domain/text/ForeignText.ts"

/** Turns of which something is kept; the oldest is forgotten for a newer one. The journal has everything. */
const keptTurns = 200
/** Different refusals of one turn that are told apart; the rest is only counted. */
const keptKinds = 50
/** Of which so many are shown. */
const shownKinds = 5

/** Characters of one line: a repository, a ref and the way to allow it, each as long as GitHub takes them, are shortened. */
const lineCharacters = 400

interface Turn {
  readonly times: Map<string, number>
  total: number
}

/** As code: what an agent asked for is in it, and addresses nobody. */
const lineOf = (told: string, times: number): string =>
  `🚫 \`${foreignLine(told, lineCharacters).replaceAll("`", "'")}\`${times === 1 ? "" : ` (${times} times)`}`

export class Refusals {
  readonly #turns = new Map<string, Turn>()

  /** `told` is what the agent's program was told, on one line. */
  add(turn: string, told: string): void {
    const found = this.#turns.get(turn) ?? { times: new Map<string, number>(), total: 0 }
    this.#turns.set(turn, found)
    found.total++
    const times = found.times.get(told)
    if (times !== undefined || found.times.size < keptKinds) found.times.set(told, (times ?? 0) + 1)
    const [oldest] = this.#turns.keys()
    if (this.#turns.size > keptTurns && oldest !== undefined) this.#turns.delete(oldest)
  }

  /** One line for each of the first kinds, and one for what is folded; none where nothing was refused. */
  lines(turn: string): ReadonlyArray<string> {
    const found = this.#turns.get(turn)
    if (found === undefined) return []
    const shown = [...found.times].slice(0, shownKinds)
    const more = found.total - shown.reduce((sum, [, times]) => sum + times, 0)
    return [
      ...shown.map(([told, times]) => lineOf(told, times)),
      ...(more === 0 ? [] : [`and ${more} more; \`km audit\` shows each`])
    ]
  }

  /** Its people have been told. */
  forget(turn: string): void {
    this.#turns.delete(turn)
  }
}
