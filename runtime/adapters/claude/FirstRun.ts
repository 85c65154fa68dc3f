/**
 * What the CLI asks a person when it is first started: a theme, whether the key and the directory are to be trusted, whether
 * permissions may be skipped. The profile has answered all of it, so it is written where the CLI keeps it.
 */
import * as Schema from "effect/Schema"
import { randomUUID } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import type { LaunchPolicy } from "./Launch.ts"

const Kept = Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown))
const decodeKept = Schema.decodeUnknownOption(Kept)
const Projects = Schema.Record(Schema.String, Schema.Record(Schema.String, Schema.Unknown))
const decodeProjects = Schema.decodeUnknownOption(Projects)

/** Above any that the CLI writes. */
const maxBytes = 16 * 1024 * 1024

/** The agent can write the file, and put anything in its place: only a file is read. */
const kept = (file: string): Readonly<Record<string, unknown>> => {
  try {
    const fd = Fs.openSync(file, Fs.constants.O_RDONLY | Fs.constants.O_NOFOLLOW | Fs.constants.O_NONBLOCK)
    try {
      const stat = Fs.fstatSync(fd)
      if (!stat.isFile() || stat.size > maxBytes) return {}
      const found = decodeKept(Fs.readFileSync(fd, "utf8"))
      return found._tag === "Some" ? found.value : {}
    } finally {
      Fs.closeSync(fd)
    }
  } catch {
    // None yet.
    return {}
  }
}

/** What of it stands in settings, which the agent cannot change. */
export const answeredSettings = ({ permissions }: LaunchPolicy): Readonly<Record<string, unknown>> =>
  permissions === "bypass" ? { skipDangerousModePermissionPrompt: true } : {}

/** The CLI names a key by its end. */
const shortened = (key: string): string => key.slice(-20)

export const answerFirstRun = (
  home: string,
  { key, workspace }: { readonly key: string; readonly workspace: string }
): void => {
  const file = Path.join(home, ".claude.json")
  const before = kept(file)
  const found = decodeProjects(before["projects"])
  const projects = found._tag === "Some" ? found.value : {}
  const after = {
    ...before,
    theme: before["theme"] ?? "dark",
    hasCompletedOnboarding: true,
    customApiKeyResponses: { approved: [shortened(key)], rejected: [] },
    projects: { ...projects, [workspace]: { ...projects[workspace], hasTrustDialogAccepted: true } }
  }
  // A name that the agent cannot know: a link there would be followed, and a tree there would take long to remove.
  const draft = `${file}.${randomUUID()}`
  Fs.writeFileSync(draft, JSON.stringify(after), { mode: 0o600, flag: "wx" })
  try {
    Fs.renameSync(draft, file)
  } catch (error) {
    Fs.rmSync(draft, { force: true })
    throw error
  }
}
