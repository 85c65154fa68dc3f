/** Files between a Slack thread and the agent, both ways: what people drop lies in the inbox, `km-attach` shows the agent's. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { Agent } from "../../runtime/ports/Agent.ts"
import { AgentPrograms } from "../../runtime/ports/AgentPrograms.ts"
import { Bridge } from "../../runtime/ports/Bridge.ts"
import { Ledger } from "../../runtime/ports/Ledger.ts"
import { Objects } from "../../runtime/ports/Objects.ts"
import { type Plugin, PluginError, PluginId } from "../../runtime/ports/Plugin.ts"
import { Redaction } from "../../runtime/ports/Redaction.ts"
import { SandboxInfo } from "../../runtime/ports/SandboxInfo.ts"
import { listen, makeAttach } from "./AttachSocket.ts"
import { inboxInJail, openInbox } from "./Inbox.ts"
import { makeIncoming } from "./Incoming.ts"

export const ChatFilesConfig = Schema.Struct({ maxMegabytes: Schema.Int })
export type ChatFilesConfig = typeof ChatFilesConfig.Type

export type ChatFilesPorts = Agent | AgentPrograms | Bridge | Ledger | Objects | Redaction | SandboxInfo

const id = PluginId.make("chat-files")

const below = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url))
const programs = [{
  name: "km-attach",
  source: below("./attach/main.ts"),
  folder: below("./").replace(/\/$/, "")
}]

const failed = (operation: string) => (error: { readonly message: string }) =>
  new PluginError({ plugin: id, operation, reason: "Unavailable", detail: error.message })

export const ChatFilesPlugin: Plugin<ChatFilesConfig, ChatFilesPorts> = {
  id,
  after: [],
  essential: false,
  enabled: ({ spec: { cli } }) => cli.notifySlackEnabled && cli.notifySlackInboundEnabled,
  config: ChatFilesConfig,
  configure: ({ spec: { cli } }) => ({ maxMegabytes: cli.slackMaxFileMegabytes }),
  start: Effect.fn("ChatFilesPlugin.start")(function*({ maxMegabytes }) {
    const info = yield* SandboxInfo
    const scope = yield* Effect.scope
    const bridge = yield* Bridge
    const ledger = yield* Ledger
    const objects = yield* Objects
    const redaction = yield* Redaction
    const { confined } = yield* (yield* Agent).confinement
    const inbox = yield* Effect.mapError(openInbox(info.directories.state), failed("start"))
    const { contribution, directory } = yield* Effect.mapError(
      (yield* AgentPrograms).place("files", programs),
      failed("start")
    )
    const socket = path.join(directory, "files.sock")
    const attach = makeAttach({
      sandbox: info.id,
      bridge,
      ledger,
      objects,
      redaction,
      maxBytes: maxMegabytes * 1024 * 1024
    })
    yield* Effect.mapError(listen(socket, attach), failed("listen"))
    // Where the jail does not hold as the profile wants it there may be none: the inbox's own place is right in both.
    const shownAt = confined ? inboxInJail : inbox.directory
    return {
      agent: {
        ...contribution,
        readOnly: [...contribution.readOnly, inbox.directory, { source: inbox.directory, target: inboxInJail }],
        env: { KM_FILES_SOCKET: socket, KM_INBOX: shownAt }
      },
      gather: makeIncoming({
        sandbox: info.id,
        bridge,
        objects,
        inbox,
        shownAt,
        background: (effect) => Effect.asVoid(Effect.forkIn(effect, scope, { startImmediately: true }))
      }),
      promptLines: ({ request }) =>
        Effect.succeed(
          request.origin.kind === "slack"
            ? [
              `To give people a file, run km-attach FILE…: it is shown in this thread, ${maxMegabytes} MiB at most. ` +
              "Files that people sent earlier in this conversation stay in the inbox for as long as it does."
            ]
            : []
        )
    }
  })
}
