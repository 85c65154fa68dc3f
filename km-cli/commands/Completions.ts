/** `km completions`: scripts for bash, zsh and fish, generated from the command tree; names are asked for live. */
import type * as Command from "effect/cli/Command"
import * as Completion from "effect/cli/Completions"
import * as Effect from "effect/Effect"
import { Mailbox } from "../../runtime/ports/Mail.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { Scheduler } from "../../runtime/ports/Scheduler.ts"
import { placesOf } from "../completions/Places.ts"
import { bash, fish, zsh } from "../completions/Scripts.ts"
import { opened } from "../Opened.ts"
import { data } from "../Output.ts"
import { pick } from "../Reference.ts"

const scripts = { bash, zsh, fish }

/** A shell that completes must not be shown errors: what cannot be read has no names. */
const liveNames = Effect.fnUntraced(function*(what: "names" | "schedules" | "deliveries", mailbox: string) {
  const { backend } = yield* opened
  const names = Effect.gen(function*() {
    yield* backend.install
    if (what === "schedules") return (yield* (yield* Scheduler).list).map(({ name }) => name)
    const rows = yield* (yield* Sandboxes).list
    if (what === "names") return rows.flatMap(({ alias, id }) => alias === undefined ? [id] : [alias, id])
    const [row] = pick(rows, mailbox)
    const owner = mailbox === "operator" ? mailbox : row?.id
    if (owner === undefined) return []
    const box = yield* Mailbox
    const filed = [
      ...yield* box.list(owner, "inbox", { limit: 50 }),
      ...yield* box.list(owner, "quarantine", { limit: 50 })
    ]
    return filed.toSorted((a, b) => b.seq - a.seq).map(({ id }) => id)
  })
  return yield* Effect.orElseSucceed(Effect.provide(names, backend.ports("short")), () => [])
})

/** `root` is the whole command tree, which names this command and is therefore not imported here. */
export const completions = Effect.fn("km.completions")(function*(
  { mailbox, shell }: {
    readonly shell: keyof typeof scripts | "names" | "schedules" | "deliveries"
    readonly mailbox: string
  },
  root: Command.Command.Any
) {
  if (shell === "names" || shell === "schedules" || shell === "deliveries") {
    const names = yield* liveNames(shell, mailbox)
    return yield* data(names, { ok: true, names })
  }
  const script: string = scripts[shell](placesOf(Completion.fromCommand(root)))
  return yield* data([script], { ok: true, shell, script })
})
