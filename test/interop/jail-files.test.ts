/** The inbox as the jail shows it: at its fixed path, read by the agent and changed by nobody inside. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { inboxInJail, openInbox } from "../../plugins/chat-files/Inbox.ts"
import { Jail } from "../../runtime/adapters/jail/Bubblewrap.ts"
import { bashScript, networkOf, runOf, scriptedAgent } from "../support/ScriptedModel.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const message = "1700000000-000100"

/** Each would lead what the runtime writes next to another place, or change what a person sent. */
const attempts = [
  `echo x >> ${inboxInJail}/${message}/notes.txt`,
  `rm -f ${inboxInJail}/${message}/notes.txt`,
  `mv ${inboxInJail}/${message} ${inboxInJail}/away`,
  `ln -s /etc ${inboxInJail}/1700000000-000200`,
  `mkdir ${inboxInJail}/1700000000-000200`,
  `chmod 0777 ${inboxInJail}/${message}`,
  `mount --bind /tmp ${inboxInJail}`,
  `mount -o remount,rw ${inboxInJail}`
]

describe("the inbox in the jail", () => {
  it.live.each(["none", "shared"] as const)(
    "is read-only, by its fixed path and by its own (network %s)",
    (mode) =>
      Effect.gen(function*() {
        const state = yield* temporaryDirectory
        const inbox = yield* openInbox(state)
        yield* inbox.put(message, "notes.txt", Stream.make(Buffer.from("heliotrope\n")), 11)
        const { agent, directories } = yield* scriptedAgent({
          jail: Jail.layer,
          readOnly: [fs.realpathSync(process.execPath)],
          network: networkOf(mode)
        })
        const own = attempts.map((attempt) => attempt.replaceAll(inboxInJail, inbox.directory))
        const asks = `cat ${inboxInJail}/${message}/notes.txt; ` +
          [...attempts, ...own].map((attempt) => `(${attempt}) 2>/dev/null && echo "DID ${attempt.split(" ")[0]}"`)
            .join("; ") +
          `; ls ${state}; true`
        const run = runOf(directories, bashScript(asks), {
          contributions: [{
            readOnly: [inbox.directory, { source: inbox.directory, target: inboxInJail }]
          }]
        })
        const outcome = yield* Effect.flatMap(agent.start(run), (started) => started.outcome)
        const said = outcome._tag === "Answered" ? outcome.text : JSON.stringify(outcome)
        assert.include(said, "heliotrope")
        assert.notInclude(said, "DID ")
        // Of what lies beside it nothing is shown.
        assert.notInclude(said, "inbox-partial")
        assert.deepStrictEqual(fs.readdirSync(inbox.directory), [message])
        assert.strictEqual(fs.readFileSync(path.join(inbox.directory, message, "notes.txt"), "utf8"), "heliotrope\n")
      })
  )
})
