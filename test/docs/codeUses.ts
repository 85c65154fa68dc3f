/** Where the source raises a code by its number, outside the tables that say what it means. */
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** Files of the tables, whose numbers are entries; where an entry has a name, its uses say that name instead. */
const isTable = (file: string): boolean => /(?:ErrorCodes|Errors|PostCodes|KmError|ProfileErrors)\.ts$/.test(file)

/** Code → names of files, sorted; comments aside. */
export const codeUses = (): ReadonlyMap<string, ReadonlyArray<string>> => {
  const uses = new Map<string, Set<string>>()
  for (const room of ["runtime", "plugins", "hooks", "bridge", "km-cli"]) {
    for (const entry of fs.readdirSync(path.join(root, room), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !entry.name.endsWith(".ts") || isTable(entry.name)) continue
      const source = fs.readFileSync(path.join(entry.parentPath, entry.name), "utf8")
      const code = source.split("\n").filter((line) => !/^\s*(\/?\*|\/\/)/.test(line)).join("\n")
      for (const [found] of code.matchAll(/\bKM-[A-Z]{3}-\d{3}\b/g)) {
        uses.set(found, (uses.get(found) ?? new Set()).add(path.basename(entry.name, ".ts")))
      }
    }
  }
  return new Map([...uses].map(([code, files]) => [code, [...files].toSorted()] as const).toSorted())
}

/**
 * The uses that were read against their code's sentence. A line that is new or other than here is one to read: the
 * sentence in `docs/errors.md` must be true of it.
 */
export const readUses = `
KM-AGT-091: SessionFile
KM-AGT-092: TranscriptPlugin
KM-AGT-093: TranscriptPlugin
KM-CLI-001: Chat, Configuration, Create, Email, EmailSend, IdentityChange, Life, Replay, RunKm, Slack, Stop
KM-CLI-002: Reference
KM-CLI-003: EmailSend, Reference
KM-CLI-005: Confirm, Destroy
KM-CLI-006: Create, Demo, Schedules, Validate
KM-CLI-007: Chat, Up
KM-CLI-008: main
KM-CLI-009: Child, Life, Parts, Stack
KM-CLI-010: Configuration
KM-CLI-011: Replay, Stop
KM-CLI-012: Demo
KM-CLI-013: Slack
KM-CLI-014: Doctor
KM-CLI-015: Demo, MailActions, trouble
KM-CLI-016: Chat
KM-CLI-017: Create
KM-CLI-018: Chat, Demo
KM-CLI-019: Replay
KM-CLI-020: IdentityChange, Life
KM-CLI-021: Chat, Conversation, Demo, Stack, trouble
KM-CLI-022: Systemd
KM-CLI-023: Chat
KM-CLI-024: main
KM-CLI-025: main
KM-CLI-026: Opened, trouble
KM-CLI-028: Chat
KM-CLI-029: trouble
KM-CLI-030: trouble
KM-CLI-031: trouble
KM-CLI-033: Up
KM-CLI-034: FirstRun
KM-CLI-040: Audit
KM-CLI-099: RunKm
KM-CLI-101: Provisioning
KM-CLI-102: Provisioning
KM-CLI-103: AuditedControl, Provisioning
KM-CLI-104: Provisioning
KM-CLI-105: Provisioning
KM-CLI-106: Provisioning
KM-CLI-107: Teardown
KM-EML-030: Authenticator, IdentityKeys, trouble
KM-EML-101: RoomWriter
KM-EML-102: RoomWriter
KM-EML-103: MailActions, RoomWriter
KM-EML-104: MailActions
KM-EML-105: MailDesk, MailSocket, RoomWriter, socketClient
KM-EML-106: RoomArchive, RoomJudge, main
KM-EML-107: RoomDirectory, RoomWriter
KM-EML-108: socketClient
KM-EML-109: EmailSend, MailDesk, main
KM-EML-110: Email, EmailSend, main
KM-EML-111: RoomJudge
KM-EML-112: RoomWriter
KM-EML-113: RoomWriter
KM-EML-114: EmailSend, RoomWriter
KM-EML-121: RoomWriter
KM-ENG-001: StateDirectory
KM-ENG-002: StateDirectory
KM-ENG-003: StateDirectory
KM-ENG-004: StateDirectory
KM-ENG-005: ProcessLock, StateDirectory
KM-ENG-006: FileInstallStore, FirstRun, StateDirectory
KM-ENG-007: FileInstallStore, StateDirectory
KM-ENG-008: FileAudit, ProcessLock, main
KM-ENG-009: Sqlite
KM-HST-101: PluginHost
KM-HST-102: PluginHost
KM-HST-103: PluginHost
KM-HST-201: EmbeddedHost
KM-HST-202: EmbeddedHost
KM-HST-203: EmbeddedHost
KM-HST-204: EmbeddedHost, Supervisor
KM-HST-205: EmbeddedHost
KM-IDN-101: IdentityChange, KeyRotation
KM-IDN-102: IdentityChange, KeyRotation
KM-IDN-103: Certifier, IdentityChange, KeyRotation, OperatorMail
KM-IDN-104: Certifier, IdentityChange
KM-MDL-006: Outcome
KM-PRO-003: ProfileDecode
KM-PRO-004: ProfileDecode
KM-PRO-005: ProfileDecode
KM-PRO-010: ProfileRules
KM-PRO-011: ProfileRules
KM-PRO-012: ProfileRules
KM-PRO-013: ProfileRules
KM-PRO-014: ProfileRules
KM-PRO-015: ProfileRules
KM-PRO-016: ProfileRules
KM-PRO-017: ProfileRules
KM-PRO-018: ProfileRules
KM-PRO-019: ProfileRules
KM-PRO-020: ProfileRules
KM-PRO-021: ProfileRules
KM-PRO-101: ProfileRules
KM-PRO-102: ProfileRules
KM-PRO-103: ProfileRules
KM-PRO-104: ProfileRules
KM-PRO-105: ProfileRules
KM-PRO-106: ProfileRules
KM-PRO-107: ProfileRules
KM-PRO-108: ProfileRules
KM-SCH-001: ScheduleGrammar, When
KM-SCH-002: At, ScheduleGrammar
KM-SCH-003: ScheduleGrammar, When
KM-SCH-004: ScheduleTimes, When
KM-SCH-005: ScheduleGrammar
KM-SCH-006: ScheduleCron, ScheduleGrammar
KM-SCH-010: ActionLine, At
KM-SCH-011: At
KM-SCH-012: At
KM-SCH-013: At
KM-SCH-020: ActionLine, At, MailActions, SandboxActions, ScheduleRunner
KM-SCH-021: SandboxActions, ScheduleRunner
KM-SCH-022: SandboxActions, ScheduleRunner
KM-SCH-023: ScheduleRunner
KM-SCH-024: ScheduleRunner
KM-SCH-025: WaitingRuns
KM-SCH-026: WaitingRuns
KM-SCH-027: At, SandboxActions
KM-SCH-028: WaitingRuns
KM-SLK-039: SlackOrigin
KM-SLK-201: BridgeClient
KM-SLK-202: BridgeClient
KM-SLK-301: ReceiveLoop
KM-SLK-302: ReceiveLoop
KM-SLK-303: SlackInboundPlugin
KM-SLK-304: ReceiveLoop
KM-SLK-305: SlackOrigin
KM-TRN-001: TurnAttempt
KM-TRN-002: OutcomeText
KM-TRN-003: OutcomeText
KM-TRN-004: TurnMachine
KM-TRN-005: TurnMachine
KM-TRN-006: TurnMachine
KM-TRN-007: LedgerHealth
KM-TRN-008: LedgerHealth
KM-TRN-009: TurnWorker
KM-TRN-010: LedgerHealth
KM-TRN-020: WaitingNotices
KM-TRN-021: ControlPlane
`.trim().split("\n")
