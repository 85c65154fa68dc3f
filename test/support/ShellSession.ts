/** An interactive shell on a terminal of its own, driven by keys; the words that it would run are read back. */
import { Effect } from "effect"
import { spawn } from "node:child_process"

export type Shell = "bash" | "zsh" | "fish"

const starts: Readonly<Record<Shell, string>> = {
  bash: "bash --norc --noprofile -i",
  zsh: "zsh -f -i",
  fish: "fish --no-config -i"
}

/** `said` prints each of its words on a line of its own, which nothing that is echoed looks like. */
const prepares: Readonly<Record<Shell, ReadonlyArray<string>>> = {
  bash: [
    String.raw`said() { printf '\n[[%s]]' "$@"; printf '\n'; }`,
    String.raw`bind '"\C-x": insert-completions'`,
    "bind 'set bell-style none'",
    "bind 'set enable-bracketed-paste off'"
  ],
  zsh: [
    String.raw`said() { printf '\n[[%s]]' "$@"; printf '\n'; }`,
    "bindkey -e",
    "unsetopt beep",
    "autoload -Uz compinit && compinit -u -D",
    "zle -C every complete-word _generic",
    "zstyle ':completion:every::::' completer _all_matches _complete",
    "zstyle ':completion:every:*' insert yes",
    "bindkey '^X' every"
  ],
  fish: []
}

/** `tab` completes as far as it can; `all` puts every completion into the line. */
export type Key = "tab" | "all"
const keys: Readonly<Record<Key, string>> = { tab: "\t", all: "\x18" }

export const shellSession = Effect.fnUntraced(function*(
  shell: "bash" | "zsh",
  options: { readonly cwd: string; readonly env: Readonly<Record<string, string>> }
) {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn("script", ["-qfec", starts[shell], "/dev/null"], {
        cwd: options.cwd,
        env: { ...options.env, TERM: "dumb", PS1: "", HISTFILE: "" },
        stdio: ["pipe", "pipe", "ignore"]
      })
    ),
    (started) =>
      Effect.callback<void>((resume) => {
        if (started.exitCode !== null || started.signalCode !== null) return resume(Effect.void)
        started.once("close", () => resume(Effect.void))
        started.kill("SIGKILL")
      })
  )
  let seen = ""
  let wake: (() => void) | undefined
  let lost: (() => void) | undefined
  child.once("close", () => lost?.())
  child.stdout.setEncoding("utf8").on("data", (part: string) => {
    seen += part
    wake?.()
  })
  let round = 0
  /** Sends keys that end in a command, and waits for the command after it. */
  const ran = (line: string) =>
    Effect.callback<string>((resume) => {
      round += 1
      const end = `[end ${round}]`
      seen = ""
      wake = () => {
        if (seen.includes(end)) resume(Effect.succeed(seen.slice(0, seen.indexOf(end))))
      }
      lost = () => resume(Effect.die(new Error(`${shell} ended: ${seen}`)))
      // Two strings, so that the echo of the line does not hold the mark.
      child.stdin.write(`${line}\r`)
      child.stdin.write(`printf '%s%s\\n' '[end' ' ${round}]'\r`)
    })
  for (const line of prepares[shell]) yield* ran(line)
  return {
    /** Runs a command as typed; what it printed, with the echo. */
    run: ran,
    /** Presses Tab after the line, and takes the line back. */
    pressed: (line: string) => ran(`${line}\t\x15`),
    /** The words of the line after a key at its end. */
    completed: (line: string, key: Key = "tab") =>
      Effect.map(ran(`${line}${keys[key]}\x01said \x05`), (text) =>
        // Nothing else prints a line like this.
        [...text.matchAll(/^\[\[(.*)\]\]\r?$/gm)].map(([, word = ""]) => word))
  }
})
