/**
 * `docs/errors.md`, made from the rooms' own tables: `node test/docs/errorsDocument.ts` writes it, a test finds it stale.
 */
import * as fs from "node:fs"
import { fileURLToPath } from "node:url"
import { errorCodes as bridge } from "../../bridge/BridgeErrors.ts"
import { errorCodes as cli } from "../../km-cli/KmError.ts"
import { errorCodes as slackSetup } from "../../km-cli/slack/SlackCodes.ts"
import { errorCodes as chatFiles } from "../../plugins/chat-files/ErrorCodes.ts"
import { errorCodes as post } from "../../plugins/email/PostCodes.ts"
import { errorCodes as email } from "../../plugins/email/protocol/MailErrors.ts"
import { errorCodes as slackInbound } from "../../plugins/slack-inbound/ErrorCodes.ts"
import { errorCodes as transcript } from "../../plugins/transcript/ErrorCodes.ts"
import { errorCodes as bridgeClient } from "../../runtime/adapters/bridge/ErrorCodes.ts"
import { errorCodes as claude } from "../../runtime/adapters/claude/ErrorCodes.ts"
import { errorCodes as engine } from "../../runtime/adapters/disk/EngineErrors.ts"
import { errorCodes as hooks } from "../../runtime/adapters/hooks/ErrorCodes.ts"
import { errorCodes as model } from "../../runtime/adapters/model/ErrorCodes.ts"
import { errorCodes as smtp } from "../../runtime/adapters/smtp/ErrorCodes.ts"
import { errorCodes as github } from "../../runtime/domain/github/GithubErrors.ts"
import { errorCodes as profile } from "../../runtime/domain/profile/ProfileErrors.ts"
import { errorCodes as identity } from "../../runtime/kernel/identity/IdentityErrors.ts"
import { errorCodes as sandbox } from "../../runtime/kernel/sandboxes/SandboxErrors.ts"
import { errorCodes as schedules } from "../../runtime/kernel/schedules/ScheduleErrors.ts"
import { errorCodes as turns } from "../../runtime/kernel/turns/TurnErrors.ts"
import { errorCodes as host } from "../../runtime/substrates/process/ErrorCodes.ts"

interface ErrorCode {
  readonly code: string
  readonly what: string
  readonly remedy: string
}

/** Where a code may come from, in the order a person would look. */
const sections: ReadonlyArray<{ readonly title: string; readonly codes: ReadonlyArray<ErrorCode> }> = [
  { title: "Commands", codes: cli },
  { title: "Profiles", codes: profile },
  { title: "Creating and destroying sandboxes", codes: sandbox },
  { title: "Turns", codes: turns },
  { title: "The agent", codes: claude },
  { title: "The model door", codes: model },
  { title: "Slack: the bridge", codes: bridge },
  { title: "Slack: connecting a workspace", codes: slackSetup },
  { title: "Slack: the sandbox's side", codes: [...slackInbound, ...chatFiles, ...bridgeClient, ...transcript] },
  { title: "Hooks", codes: hooks },
  { title: "GitHub: the App and its tokens", codes: github },
  { title: "Email", codes: [...email, ...post, ...smtp] },
  { title: "Identities", codes: identity },
  { title: "Schedules", codes: schedules },
  { title: "The engine", codes: engine },
  { title: "The host", codes: host }
]

export const allCodes: ReadonlyArray<ErrorCode> = sections.flatMap(({ codes }) => codes)

const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("\n", " ")

const table = (codes: ReadonlyArray<ErrorCode>): string =>
  ["| code | what happened | what to do |", "|---|---|---|"].concat(
    codes.map(({ code, remedy, what }) => `| \`${code}\` | ${cell(what)} | ${cell(remedy)} |`)
  ).join("\n")

export const errorsDocument = (): string =>
  `# Errors

Every code that a person or a program can meet. A code keeps its meaning; a number is not used again. Codes of the form
\`KM-XXX-NNN\` stand in messages of \`km\`, in Slack threads and in logs; lower-case codes stand in the bridge's answers
([bridge-protocol.md](bridge-protocol.md)). Exit codes of \`km\`: 0 done, 1 failed, 2 usage, 3 not found, 4 not
authenticated, 5 conflict, 6 refused by policy, 7 timed out.

${sections.map(({ codes, title }) => `## ${title}\n\n${table(codes)}\n`).join("\n")}`

const file = fileURLToPath(new URL("../../docs/errors.md", import.meta.url))

if (process.argv[1] === fileURLToPath(import.meta.url)) fs.writeFileSync(file, errorsDocument())
