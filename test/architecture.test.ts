/** The import rule of the house (docs/architecture.md), read from the files themselves. */
import { assert, describe, it } from "@effect/vitest"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))

const core = ["runtime/domain", "runtime/ports"]
const kernel = [...core, "runtime/kernel"]

/** room → rooms it may import. A room may always import itself; a plugin only its own folder. */
const allowed: Record<string, ReadonlyArray<string>> = {
  "runtime/domain": [],
  "runtime/ports": ["runtime/domain"],
  "runtime/kernel": core,
  "runtime/adapters": core,
  "runtime/engines": core,
  "runtime/substrates": core,
  plugins: core,
  hooks: core,
  profiles: ["runtime/domain"],
  bridge: kernel,
  "km-cli": [...kernel, "profiles"],
  "infra-sam": kernel
}

/** The one file that names every engine, for composition roots alone. */
const engineOf = path.join("runtime", "engines", "engineOf.ts")

/** What engines and substrates may use of the adapters: what they all need on a sandbox's disk. */
const disk = path.join("runtime", "adapters", "disk") + path.sep

/** Rooms whose folders know nothing of one another. */
const apart = ["runtime/engines", "runtime/substrates"]

/**
 * Packages that a room may import; a room without an entry may import any. `node:crypto` and graphql's parser are pure
 * computation, `node:net` is the type of what a door is given.
 */
const packages: Record<string, RegExp> = {
  "runtime/domain":
    /^(effect\/(Schema|Schema[A-Z]\w*|Effect|Option|Result|Data|Duration|Redacted|Array|Order)|node:crypto|graphql\/language)$/,
  "runtime/ports": /^(effect\/\w+|node:net)$/,
  "runtime/kernel": /^(effect\/\w+|node:crypto|node:path)$/
}

const topRooms = ["runtime", "plugins", "hooks", "bridge", "km-cli", "profiles", "infra-sam"]

/** Parts of a root, in files of their own because the root is more than 300 lines: its folder → the root that may name it. */
const rootParts: Record<string, string> = {
  "runtime/sandbox": "runtime/sandbox/main.ts",
  "runtime/control": "runtime/control/main.ts"
}

const partsFolder = (file: string): string | undefined =>
  path.basename(file) === "main.ts" ? undefined : Object.keys(rootParts).find((folder) => path.dirname(file) === folder)

const isRootPart = (file: string): boolean => partsFolder(file) !== undefined

/** Programs of the build that say what all of it has. */
const builders = ["km-cli/build/profileSchema.ts"]

/** Only a composition root may name adapters, plugins and profiles together. */
const isCompositionRoot = (file: string): boolean =>
  path.basename(file) === "main.ts" || builders.includes(file) || file.startsWith(path.join("infra-sam", "handlers")) ||
  isRootPart(file)

const filesBelow = (directory: string): ReadonlyArray<string> =>
  readdirSync(path.join(root, directory), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)))

const roomOf = (file: string): string => {
  const [top = "", second = ""] = file.split(path.sep)
  return top === "runtime" && second !== "main.ts" ? `${top}/${second}` : top
}

const importPattern =
  /(?:^|\n)\s*(?:import|export)\s[^"'`;]*?from\s+["']([^"']+)["']|import\(\s*["']([^"']+)["']\s*\)|(?:^|\n)\s*import\s+["']([^"']+)["']/g

const importsOf = (source: string): ReadonlyArray<string> =>
  Array.from(source.matchAll(importPattern), (match) => match[1] ?? match[2] ?? match[3] ?? "")

/** Why `file` may not import `specifier`, or undefined. */
export const violation = (file: string, specifier: string): string | undefined => {
  const room = roomOf(file)
  if (!specifier.startsWith(".")) {
    if (specifier === "effect" || /^@effect\/[\w-]+$/.test(specifier) && specifier !== "@effect/vitest") {
      return "imports a barrel; import the module"
    }
    const rule = packages[room]
    return rule !== undefined && !isCompositionRoot(file) && !rule.test(specifier)
      ? `${room} may not import the package ${specifier}`
      : undefined
  }
  if (!/\.(ts|json|mjs)$/.test(specifier)) return "a relative import names its extension"
  const target = path.normalize(path.join(path.dirname(file), specifier))
  if (path.basename(target) === "main.ts") return "nobody imports a composition root"
  const folder = partsFolder(target)
  if (folder !== undefined) {
    return file === rootParts[folder] || partsFolder(file) === folder
      ? undefined
      : "nobody imports a composition root"
  }
  if (isCompositionRoot(file)) return undefined
  const targetRoom = roomOf(target)
  if (apart.includes(room) && target.startsWith(disk)) return undefined
  if (targetRoom === room) {
    const [, own, ownPart] = file.split(path.sep)
    const [, other, otherPart] = target.split(path.sep)
    if (target === engineOf) return "only a composition root opens an engine"
    if (apart.includes(room) && ownPart !== otherPart && file !== engineOf) {
      return `${room}/${ownPart} may not import ${room}/${otherPart}`
    }
    return room === "plugins" && own !== other && path.basename(file) !== "index.ts"
      ? "a plugin may not import another plugin"
      : undefined
  }
  return allowed[room]?.includes(targetRoom) === true ? undefined : `${room} may not import ${targetRoom}`
}

/** A pause that grows with failures, or a schedule of such pauses. */
const doubling = /\* 2 \*\* |(?:pause|wait|delay|millis)\w* \* 2\b|Schedule\.exponential/i

/** Who says how a pause grows, and why not by `pauseAfter` and `backoffSchedule`. */
const mayDouble: Readonly<Record<string, string>> = {
  "runtime/ports/Backoff.ts": "it is these",
  "runtime/engines/aws/Aws.ts": "throttled calls wait four times as long, all with jitter, as AWS asks for",
  "plugins/chat-files/attach/main.ts": "a program of the agent's: of the source tree it sees its plugin's folder alone",
  "plugins/email/socketClient.ts": "the same"
}

/** Who waits for a bell, and why not by `whenRung`. */
const mayWait: Readonly<Record<string, string>> = {
  "runtime/ports/Bell.ts": "it is this",
  "runtime/adapters/disk/Doorbell.ts": "a bell over others",
  "runtime/adapters/disk/Sqlite.ts": "the writer waits for work, and looks at nothing else",
  "runtime/ports/memory/MemoryAudit.ts": "one wait, and who waits looks",
  "runtime/engines/aws/S3Audit.ts": "one wait, and who waits looks"
}

const pluginIds = readdirSync(path.join(root, "plugins"), { withFileTypes: true })
  .flatMap((entry) => entry.isDirectory() ? [entry.name] : [])

/** Who names a plugin that is another's, and why nothing breaks when that one is not there. */
const mayName: Readonly<Record<string, string>> = {
  "plugins/slack-inbound/SlackInboundPlugin.ts: lifecycle": "`after`: who is not enabled is ignored",
  "plugins/slack-inbound/SlackInboundPlugin.ts: transcript": "`after`: who is not enabled is ignored",
  "runtime/domain/text/ForeignText.ts: email": "a comment on a copy of its rules, which a test compares"
}

const outside = (found: ReadonlyArray<string>, rooms: ReadonlyArray<string>): ReadonlyArray<string> => {
  assert.isAbove(found.length, 0)
  return found.filter((file) => !rooms.some((room) => file.startsWith(room)))
}

describe("architecture", () => {
  const files = topRooms.flatMap(filesBelow)

  it("every import keeps the rule", () => {
    const broken = files.flatMap((file) =>
      importsOf(readFileSync(path.join(root, file), "utf8")).flatMap((specifier) => {
        const why = violation(file, specifier)
        return why === undefined ? [] : [`${file}: "${specifier}": ${why}`]
      })
    )
    assert.deepStrictEqual(broken, [])
    assert.isAbove(files.length, 20)
  })

  it("no file imports itself, through whatever others", () => {
    const imported = new Map(files.map((file) => [
      file,
      importsOf(readFileSync(path.join(root, file), "utf8"))
        .filter((specifier) => specifier.startsWith("."))
        .map((specifier) => path.normalize(path.join(path.dirname(file), specifier)))
    ]))
    const over = new Set<string>()
    const circles: Array<string> = []
    const walk = (file: string, way: ReadonlyArray<string>): void => {
      if (way.includes(file)) circles.push([...way.slice(way.indexOf(file)), file].join(" → "))
      if (over.has(file) || way.includes(file)) return
      for (const next of imported.get(file) ?? []) walk(next, [...way, file])
      over.add(file)
    }
    for (const file of files) walk(file, [])
    assert.deepStrictEqual(circles, [])
  })

  it("no two files differ by case only", () => {
    const seen = new Map<string, string>()
    for (const file of files) {
      const other = seen.get(file.toLowerCase())
      assert.isUndefined(other, `${file} and ${other}`)
      seen.set(file.toLowerCase(), file)
    }
  })

  it("no file has more than 400 lines", () => {
    const long = files.flatMap((file) => {
      const lines = readFileSync(path.join(root, file), "utf8").trimEnd().split("\n").length
      return lines > 400 ? [`${file}: ${lines}`] : []
    })
    assert.deepStrictEqual(long, [])
  })

  it("no room is called after nothing in particular", () => {
    const bad = files.filter((file) => /(^|\/)(utils?|common|helpers?|types|shared)(\/|\.ts$)/i.test(file))
    assert.deepStrictEqual(bad, [])
  })

  it("service keys are unique and name their file", () => {
    const keys = new Map<string, string>()
    for (const file of files) {
      const source = readFileSync(path.join(root, file), "utf8")
      for (const [, key = ""] of source.matchAll(/\}>\(\)\(\s*"(km\/[^"]+)"/g)) {
        assert.isUndefined(keys.get(key), `${key} in ${file} and ${keys.get(key)}`)
        keys.set(key, file)
        assert.strictEqual(path.posix.dirname(key), `km/${path.dirname(file)}`, key)
      }
    }
    assert.isAbove(keys.size, 10)
  })

  it("back-off, and the wait for a bell, are written once", () => {
    const written = files.map((file) => ({ file, source: readFileSync(path.join(root, file), "utf8") }))
    const doubled = written.filter(({ source }) => doubling.test(source))
    const waited = written.filter(({ source }) => /\.wait\(/.test(source))
    assert.deepStrictEqual(doubled.map(({ file }) => file).toSorted(), Object.keys(mayDouble).toSorted())
    assert.deepStrictEqual(waited.map(({ file }) => file).toSorted(), Object.keys(mayWait).toSorted())
    assert.match("const wait = Math.min(first * 2 ** failures, longest)", doubling)
    assert.match("pause = Math.min(pause * 2, longest)", doubling)
  })

  it("catches what it is for", () => {
    assert.isDefined(violation("runtime/domain/X.ts", "../ports/TurnQueue.ts"))
    assert.isDefined(violation("runtime/domain/X.ts", "node:fs"))
    assert.isDefined(violation("runtime/kernel/X.ts", "../engines/embedded/SqliteSeen.ts"))
    assert.isDefined(violation("plugins/a/X.ts", "../b/Y.ts"))
    assert.isDefined(violation("plugins/a/X.ts", "../../runtime/kernel/Y.ts"))
    assert.isDefined(violation("bridge/X.ts", "../runtime/adapters/disk/Sqlite.ts"))
    assert.isDefined(violation("runtime/adapters/claude/X.ts", "../../engines/embedded/SqliteSeen.ts"))
    assert.isDefined(violation("runtime/engines/aws/X.ts", "../embedded/SqliteSeen.ts"))
    assert.isDefined(violation("runtime/engines/aws/X.ts", "../../adapters/jail/Doors.ts"))
    assert.isUndefined(violation("runtime/engines/aws/X.ts", "../../adapters/disk/Sqlite.ts"))
    assert.isUndefined(violation("runtime/engines/engineOf.ts", "./embedded/EmbeddedEngine.ts"))
    assert.isDefined(violation("runtime/engines/aws/X.ts", "../engineOf.ts"))
    assert.isDefined(violation("runtime/kernel/X.ts", "../engines/engineOf.ts"))
    assert.isDefined(violation("bridge/X.ts", "./main.ts"))
    assert.isDefined(violation("bridge/main.ts", "../runtime/sandbox/Supervisor.ts"))
    assert.isUndefined(violation("runtime/sandbox/main.ts", "./Supervisor.ts"))
    assert.isUndefined(violation("runtime/control/main.ts", "./Schedules.ts"))
    assert.isDefined(violation("runtime/sandbox/main.ts", "../control/Schedules.ts"))
    assert.isDefined(violation("km-cli/up/Up.ts", "../../runtime/control/Schedules.ts"))
    assert.isDefined(violation("runtime/control/Schedules.ts", "../sandbox/Supervisor.ts"))
    assert.isDefined(violation("bridge/X.ts", "effect"))
    assert.isDefined(violation("bridge/X.ts", "./Events"))
    assert.isUndefined(violation("runtime/sandbox/main.ts", "../engines/embedded/SqliteSeen.ts"))
    assert.isUndefined(violation("plugins/a/X.ts", "../../runtime/ports/Plugin.ts"))
  })

  it("nothing but its folder and the list names a plugin", () => {
    const named = files.flatMap((file) => {
      if (file === path.join("plugins", "index.ts")) return []
      const source = readFileSync(path.join(root, file), "utf8")
      return pluginIds.filter((id) => !file.startsWith(path.join("plugins", id) + path.sep)).flatMap((id) =>
        source.includes(`plugins/${id}/`) || source.includes(`PluginId.make("${id}")`) ? [`${file}: ${id}`] : []
      )
    })
    assert.deepStrictEqual(named.toSorted(), Object.keys(mayName).toSorted())
  })

  it("the kernel of turns, the host and the runtime's root know no word of a plugin's", () => {
    const words = /mail|transcript|slack-inbound|lifecycle/i
    const said = files.filter((file) =>
      ["runtime/kernel/turns/", "runtime/kernel/plugins/", "runtime/sandbox/"].some((room) => file.startsWith(room))
    ).flatMap((file) =>
      readFileSync(path.join(root, file), "utf8").split("\n").flatMap((line) =>
        words.test(line) ? [`${file}: ${line.trim()}`] : []
      )
    )
    assert.deepStrictEqual(said, [])
  })

  it("what the architecture document says of typical changes names files that are there", () => {
    const text = readFileSync(path.join(root, "docs", "architecture.md"), "utf8")
    const section = /\n## Ten typical changes\n([\s\S]*?)\n## /.exec(text)?.[1] ?? ""
    assert.lengthOf(section.match(/^\| (an?|the) /gm) ?? [], 10)
    const paths = [...section.matchAll(/`([\w./-]+\/[\w./-]*)`/g)].map(([, name = ""]) => name)
    assert.isAbove(paths.length, 20)
    assert.deepStrictEqual(paths.filter((name) => !existsSync(path.join(root, name))), [])
  })

  const saying = (pattern: RegExp): ReadonlyArray<string> =>
    files.filter((file) => pattern.test(readFileSync(path.join(root, file), "utf8")))

  it("nobody opens a ledger but the runtime whose it is", () => {
    const opening = saying(/from "[^"]*(SandboxStore|SqliteLedger|SqliteOutbox)\.ts"/)
    assert.deepStrictEqual(outside(opening, ["runtime/sandbox/", "runtime/adapters/disk/"]), [])
  })

  it("no runtime writes a sandbox's row: it could change its own profile", () => {
    const writing = saying(/\b[sS]andboxes\)*\s*\.\s*(insert|update|addItem|removeItem|remove|rememberChannel)\b/)
    const control = ["bridge/", "km-cli/", "runtime/kernel/sandboxes/", "runtime/kernel/github/", "runtime/substrates/"]
    assert.deepStrictEqual(outside(writing, [...control, "runtime/engines/"]), [])
    assert.notInclude(writing, "runtime/kernel/github/StoredTokens.ts")
  })

  it("what outlives the answer to an event is an errand, not a fiber", () => {
    const forking = saying(/\b(forkIn|forkDetach|runFork)\b/).filter((file) => file.startsWith("bridge/"))
    assert.deepStrictEqual(outside(forking, ["bridge/actions/", "bridge/socket/", "bridge/EventsFront.ts"]), [])
  })
})
