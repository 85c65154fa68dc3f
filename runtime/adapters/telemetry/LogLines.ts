/**
 * Log lines on standard error. What only tells how things go is gathered and written together, so that a line costs no
 * system call of its own; a warning or an error is written at once, behind all that was said before it.
 */
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"

/** Milliseconds for which a line may wait. A process that is killed loses what it said in them, never a warning. */
const maxWaitMillis = 50

/** Characters that are gathered at most. */
const maxGathered = 64 * 1024

const isTroubled = LogLevel.isGreaterThanOrEqualTo("Warn")

/** `line` is what `write` is to write, several of them at once. */
export const gathering = (write: (text: string) => void) => {
  let gathered = ""
  let timer: ReturnType<typeof setTimeout> | undefined
  const flush = (): void => {
    clearTimeout(timer)
    timer = undefined
    if (gathered === "") return
    const text = gathered
    gathered = ""
    write(text)
  }
  const add = (line: string, atOnce: boolean): void => {
    gathered += `${line}\n`
    if (atOnce || gathered.length >= maxGathered) return flush()
    // Nothing waits for it but who reads: it keeps no process alive, whose end writes the rest.
    timer ??= setTimeout(flush, maxWaitMillis).unref()
  }
  return { add, flush }
}

const ownLines = gathering((text) => void process.stderr.write(text))
process.once("exit", ownLines.flush)

export const jsonLines: Logger.Logger<unknown, void> = Logger.map(
  Logger.make<unknown, { readonly line: string; readonly atOnce: boolean }>((options) => ({
    line: Logger.formatJson.log(options),
    atOnce: isTroubled(options.logLevel)
  })),
  ({ atOnce, line }) => ownLines.add(line, atOnce)
)
