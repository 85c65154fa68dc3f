import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { agentSettings, hookTokenVariable, hookUrlVariable, managedSettings, shellWord } from "../../hooks/Settings.ts"
import { HookEvent } from "../../runtime/domain/turn/HookEvent.ts"

const input = {
  listener: "http://127.0.0.1:4070/",
  token: "kmh_token",
  hookCommand: ["/opt/km dir/node", "/opt/km's/km-hook.cjs"],
  toolHooks: true,
  env: { ANTHROPIC_BASE_URL: "http://127.0.0.1:1", [hookTokenVariable]: "not this one" },
  unreadable: ["/var/lib/km/sb [1]", "//etc/km/"]
}

const eventNames = HookEvent.members.map((member) => member.fields.hook_event_name.literal)

describe("Settings", () => {
  const settings = agentSettings(input)

  it("asks for every event that the listener decodes, and for no other", () => {
    assert.deepStrictEqual(Object.keys(settings.hooks).toSorted(), eventNames.toSorted())
  })

  it("leaves the tools to a dispatched turn's standard output, and nothing else", () => {
    const names = Object.keys(agentSettings({ ...input, toolHooks: false }).hooks)
    assert.deepStrictEqual(
      eventNames.filter((name) => !names.includes(name)),
      ["PostToolUse", "PostToolUseFailure"]
    )
  })

  it("sends every event by http but SessionStart, which takes none", () => {
    for (const [name, entries] of Object.entries(settings.hooks)) {
      const hooks = entries.flatMap((entry) => entry.hooks)
      assert.strictEqual(hooks.length, 1, name)
      for (const hook of hooks) {
        assert.strictEqual(hook.type, name === "SessionStart" ? "command" : "http", name)
        assert.isAtLeast(hook.timeout, 2, "seconds")
        assert.isAtMost(hook.timeout, 5, "seconds")
        if (hook.type === "http") {
          assert.strictEqual(hook.url, "http://127.0.0.1:4070/hooks")
          assert.deepStrictEqual(hook.headers, { Authorization: "Bearer $KM_HOOK_TOKEN" })
          assert.deepStrictEqual(hook.allowedEnvVars, ["KM_HOOK_TOKEN"])
        } else assert.strictEqual(hook.command, "'/opt/km dir/node' '/opt/km'\\''s/km-hook.cjs'")
      }
    }
  })

  it("cannot be switched off, and names the listener in an env block that nothing overrides", () => {
    assert.strictEqual(settings.disableAllHooks, false)
    assert.deepStrictEqual(settings.env, {
      NO_PROXY: "127.0.0.1,localhost",
      no_proxy: "127.0.0.1,localhost",
      ANTHROPIC_BASE_URL: "http://127.0.0.1:1",
      [hookUrlVariable]: "http://127.0.0.1:4070/hooks",
      [hookTokenVariable]: "kmh_token"
    })
  })

  it("denies paths literally, with their contents", () => {
    assert.deepStrictEqual(settings.permissions?.deny.slice(0, 2), [
      "Read(//var/lib/km/sb \\[1\\])",
      "Read(//var/lib/km/sb \\[1\\]/**)"
    ])
    assert.include(settings.permissions?.deny ?? [], "Read(//etc/km/**)")
    assert.isUndefined(agentSettings({ ...input, unreadable: [] }).permissions)
  })

  it("as managed settings lets only these hooks run", () => {
    assert.deepStrictEqual(managedSettings(input), { ...settings, allowManagedHooksOnly: true })
  })

  it.prop("a word stays one word for the shell", [Schema.String], ([text]) => {
    const word = shellWord(text)
    if (/^[A-Za-z0-9_./:=@%+-]+$/.test(word)) assert.strictEqual(word, text)
    else assert.strictEqual(word.slice(1, -1).replaceAll("'\\''", "'"), text)
  })
})
