import { assert, describe, it } from "@effect/vitest"
import { Option } from "effect"
import {
  argumentsOf,
  defaultLimits,
  environmentOf,
  pinnedEnvironment,
  sealSettings,
  terminalArguments
} from "../../../../runtime/adapters/claude/Launch.ts"
import { SessionId } from "../../../../runtime/domain/sandbox/Ids.ts"

const session = SessionId.make("0b0e6a40-1111-4222-8333-444444444444")
const policy = { permissions: "bypass", model: "default", trustRepoSettings: false } as const
const pinned = pinnedEnvironment({ url: "http://127.0.0.1:1", key: "sk-ant-km-dummy" }, defaultLimits)

describe("arguments", () => {
  it("take no settings from the repository or the agent's home, and resume by id", () => {
    const args = argumentsOf({ mode: "resume", session }, policy, "/s.json")
    assert.deepStrictEqual(args.slice(-5), [
      "--setting-sources",
      "",
      "--dangerously-skip-permissions",
      "--resume",
      session
    ])
    assert.notInclude(args, "--session-id")
  })

  it("begin a session under our id, with the profile's model and permissions", () => {
    const args = argumentsOf(
      { mode: "fresh", session },
      { ...policy, permissions: "default", model: "opus" },
      "/s.json"
    )
    assert.deepStrictEqual(args.slice(-6), ["--permission-mode", "default", "--model", "opus", "--session-id", session])
    assert.notInclude(args, "--dangerously-skip-permissions")
  })

  it("tell a person's session what is so, when it begins and when it goes on; nothing where nothing is to tell", () => {
    for (const mode of ["fresh", "resume"] as const) {
      const args = terminalArguments({ mode, session, told: ["[km] one", "[km] two"] }, policy, "/s.json")
      assert.strictEqual(args[args.indexOf("--append-system-prompt") + 1], "[km] one\n[km] two")
      assert.deepStrictEqual(args.slice(-2), [mode === "fresh" ? "--session-id" : "--resume", session])
      assert.notInclude(terminalArguments({ mode, session, told: [] }, policy, "/s.json"), "--append-system-prompt")
    }
  })

  it("let the repository's settings take part only when the profile trusts them, never the home's", () => {
    const args = argumentsOf({ mode: "fresh", session }, { ...policy, trustRepoSettings: true }, "/s.json")
    assert.strictEqual(args[args.indexOf("--setting-sources") + 1], "project,local")
  })
})

const build = (env: Record<string, string>, isRoot = false) =>
  environmentOf({
    run: { env },
    pinned,
    home: "/home/agent",
    path: ["/opt/node/bin"],
    marker: "m",
    extra: { HTTPS_PROXY: "http://127.0.0.1:9" },
    temporary: Option.none(),
    isRoot
  })

describe("environment", () => {
  it("is exactly this", () => {
    assert.deepStrictEqual(Object.keys(build({ KM_SLACK_THREAD_TS: "1.2" })).toSorted(), [
      "ANTHROPIC_API_KEY",
      "ANTHROPIC_BASE_URL",
      "API_TIMEOUT_MS",
      "CLAUDE_BYTE_STREAM_IDLE_TIMEOUT_MS",
      "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS",
      "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
      "CLAUDE_CODE_MAX_RETRIES",
      "DISABLE_AUTOUPDATER",
      "DISABLE_TELEMETRY",
      "HOME",
      "HTTPS_PROXY",
      "KM_RUN",
      "KM_SLACK_THREAD_TS",
      "LANG",
      "LOGNAME",
      "NO_PROXY",
      "PATH",
      "SHELL",
      "TERM",
      "USER",
      "no_proxy"
    ])
  })

  it("takes only KM_ variables of a run, and none of ours can be replaced", () => {
    const env = build({
      KM_RUN: "forged",
      LD_PRELOAD: "/x",
      NODE_OPTIONS: "-r /x",
      PATH: "/x",
      "KM_A=B": "c",
      KM_NUL: "a\0b"
    })
    assert.strictEqual(env["KM_RUN"], "m")
    for (const name of ["LD_PRELOAD", "NODE_OPTIONS", "KM_A=B", "KM_NUL"]) assert.notProperty(env, name)
    assert.match(env["PATH"] ?? "", /^\/opt\/node\/bin:\/usr\/local\/sbin:/)
  })

  it("says IS_SANDBOX only as root", () => {
    assert.notProperty(build({}), "IS_SANDBOX")
    assert.propertyVal(build({}, true), "IS_SANDBOX", "1")
  })
})

describe("settings", () => {
  it("cannot be silenced or redirected by another file", () => {
    const sealed = sealSettings(
      {
        hooks: { Stop: [] },
        disableAllHooks: true,
        env: { ANTHROPIC_BASE_URL: "http://evil", OTHER: "1" }
      },
      pinned,
      "bypass"
    )
    assert.deepStrictEqual(sealed, {
      hooks: { Stop: [] },
      disableAllHooks: false,
      env: { OTHER: "1", ...pinned }
    })
  })

  it("put every call to us where people are asked, and leave what is denied denied", () => {
    const settings = { permissions: { deny: ["Read(//etc/km)"] } }
    assert.deepStrictEqual(sealSettings(settings, pinned, "ask")["permissions"], {
      deny: ["Read(//etc/km)"],
      ask: ["*"]
    })
    assert.deepStrictEqual(sealSettings(settings, pinned, "bypass")["permissions"], settings.permissions)
    assert.includeMembers([...argumentsOf({ mode: "fresh", session }, { ...policy, permissions: "ask" }, "/s.json")], [
      "--permission-prompt-tool",
      "stdio"
    ])
  })
})
