import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { durationMillis, DurationText, Profile } from "../../../../runtime/domain/profile/Profile.ts"
import { decodeProfile, nearest } from "../../../../runtime/domain/profile/ProfileDecode.ts"
import { errorCodes, ProfileCode } from "../../../../runtime/domain/profile/ProfileErrors.ts"
import { mergeProfiles, resolveAdds, writeOutShorthands } from "../../../../runtime/domain/profile/ProfileExtends.ts"
import { bareContext, profileFindings } from "../../../../runtime/domain/profile/ProfileRules.ts"

const ProfileJson = Schema.fromJsonString(Profile)

const decoded = (cli: object, agent: object = {}): Profile =>
  Schema.decodeSync(Profile)({
    apiVersion: "klankermaker.ai/v1",
    kind: "SandboxProfile",
    metadata: { name: "demo" },
    spec: { cli, agent }
  })

/** Who may write, and what is said of these keys of `spec.email`. */
const emailOf = (keys: object, cli: object = {}) => {
  const result = decodeProfile({
    apiVersion: "klankermaker.ai/v1",
    kind: "SandboxProfile",
    metadata: { name: "demo" },
    spec: { cli, email: keys }
  })
  if (result._tag === "Failure") throw new Error("the test's own profile was refused")
  const { spec } = result.success
  return [spec.email.allowedSenders, profileFindings(result.success, bareContext).map(({ code }) => code)]
}

/** The network that these keys of `spec` mean, and what is said of it. */
const networkOf = (spec: object) => {
  const result = decodeProfile({
    apiVersion: "klankermaker.ai/v1",
    kind: "SandboxProfile",
    metadata: { name: "demo" },
    spec
  })
  if (result._tag === "Failure") return result.failure.map(({ code, path }) => `${code} ${path.join(".")}`)
  const findings = profileFindings(result.success, bareContext)
  return [result.success.spec.network, ...findings.map(({ code, severity }) => `${severity} ${code}`)]
}

const access = (github: object, mode = "allowlist") => ({ sourceAccess: { mode, github } })

const codes = (cli: object, given: ReadonlyArray<string> = [], agent: object = {}) =>
  profileFindings(decoded(cli, agent), { ...bareContext, given: (path) => given.includes(path) })
    .map(({ code }) => code)

const repositoryCodes = (mode: string, ...allowedRepos: ReadonlyArray<string>) =>
  networkOf({ sourceAccess: { mode, github: { allowedRepos } } }).slice(1)

describe("repositories of a profile", () => {
  it("are names or an owner's all, on any host", () => {
    const fine = ["my-org/api", "My-Org/*", "ghe.example.com/team/x"]
    assert.deepStrictEqual(repositoryCodes("allowlist", ...fine), [])
    assert.deepStrictEqual(repositoryCodes("allowlist", "*"), ["error KM-PRO-040"])
    assert.deepStrictEqual(repositoryCodes("audit", "my-org/a*", "x", "my-org/api"), [
      "error KM-PRO-040",
      "error KM-PRO-040"
    ])
  })

  it("are not listed in vain", () => {
    assert.deepStrictEqual(repositoryCodes("none", "my-org/api"), ["error KM-PRO-041"])
    assert.deepStrictEqual(repositoryCodes("none"), [])
    assert.deepStrictEqual(repositoryCodes("allowlist"), [])
  })
})

describe("Profile", () => {
  it.effect.prop("survives a round trip through JSON, and the strict decoder takes what was encoded", [Profile], ([
    profile
  ]) =>
    Effect.gen(function*() {
      const text = yield* Schema.encodeEffect(ProfileJson)(profile)
      const back = yield* Schema.decodeEffect(ProfileJson)(text)
      // As text, because JSON has no negative zero.
      assert.strictEqual(yield* Schema.encodeEffect(ProfileJson)(back), text)
      const strict = decodeProfile(JSON.parse(text))
      assert.strictEqual(strict._tag, "Success")
    }))

  it("defaults are the ones the design names", () => {
    const { spec } = decoded({})
    assert.deepStrictEqual(spec.agent, {
      kind: "claude",
      permissions: "bypass",
      model: "default",
      turnTimeout: "30m",
      trustRepoSettings: false,
      budgetUsd: 0,
      nestedSandboxes: false
    })
    assert.deepStrictEqual(spec.lifecycle, { ttl: "8h", idleTimeout: "1h" })
    assert.strictEqual(spec.cli.notifyEmailEnabled, true)
    assert.strictEqual(spec.cli.slackArchiveOnDestroy, true)
    assert.strictEqual(spec.cli.slackMaxConcurrentThreads, 2)
    assert.strictEqual(spec.cli.notifySlackEnabled, false)
  })

  it.prop("a duration is its number times its unit, and 0 is off", [DurationText], ([text]) => {
    const millis = durationMillis(text)
    assert.isTrue(Number.isSafeInteger(Date.now() + millis))
    if (Number(text) === 0) assert.strictEqual(millis, 0)
    else assert.isAbove(millis, 0)
  })

  it("s, m, h and d are the same everywhere", () => {
    assert.deepStrictEqual((["90s", "15m", "8h", "2d", "0", 0] as const).map(durationMillis), [
      90_000,
      900_000,
      28_800_000,
      172_800_000,
      0,
      0
    ])
    for (const wrong of ["1", "1w", "1.5h", "-1h", "01h", " 1h", "1H", "", 1, null]) {
      assert.isFalse(Schema.is(DurationText)(wrong), String(wrong))
    }
  })

  it("the nearest key takes the fewest edits", () => {
    assert.strictEqual(nearest("notifySlackEnable", ["notifyEmailEnabled", "notifySlackEnabled"]), "notifySlackEnabled")
    assert.strictEqual(nearest("TTL", ["idleTimeout", "ttl"]), "ttl")
    assert.isUndefined(nearest("x", []))
  })
})

describe("ProfileRules", () => {
  const own = { notifySlackEnabled: true, notifySlackPerSandbox: true }

  it("nothing to say about what fits together", () => {
    assert.deepStrictEqual(codes({}), [])
    assert.deepStrictEqual(codes({ ...own, notifySlackInboundEnabled: true, notifySlackTranscriptEnabled: true }), [])
    assert.deepStrictEqual(codes({ notifySlackEnabled: true, notifySlackChannelOverride: "G0123" }), [])
    assert.deepStrictEqual(codes(own, ["spec.cli.slackArchiveOnDestroy"]), [])
  })

  it("errors", () => {
    assert.deepStrictEqual(codes({ ...own, notifySlackChannelOverride: "C0123" }), ["KM-PRO-010"])
    assert.deepStrictEqual(codes({ notifySlackPerSandbox: true, notifySlackInboundEnabled: true }), [
      "KM-PRO-011",
      "KM-PRO-101"
    ])
    assert.deepStrictEqual(codes({ notifySlackEnabled: true, notifySlackInboundEnabled: true }), ["KM-PRO-012"])
    assert.deepStrictEqual(
      codes({ notifySlackEnabled: true, notifySlackInboundEnabled: true, notifySlackChannelOverride: "C0123" }),
      ["KM-PRO-012", "KM-PRO-013"]
    )
    assert.deepStrictEqual(codes({ notifySlackPerSandbox: true, notifySlackTranscriptEnabled: true }), [
      "KM-PRO-014",
      "KM-PRO-101"
    ])
    assert.deepStrictEqual(
      codes({ notifySlackEnabled: true, notifySlackTranscriptEnabled: true, notifySlackChannelOverride: "C0123" }),
      ["KM-PRO-015", "KM-PRO-016"]
    )
    assert.deepStrictEqual(codes({ notifySlackEnabled: true, notifySlackChannelOverride: "#general" }), ["KM-PRO-017"])
    for (const [turnTimeout, fault] of [["0", true], ["1s", false], ["11h", false], ["661m", true]] as const) {
      assert.deepStrictEqual(codes({}, [], { turnTimeout }), fault ? ["KM-PRO-019"] : [], turnTimeout)
    }
  })

  it("warnings", () => {
    assert.deepStrictEqual(codes({ notifySlackPerSandbox: true }), ["KM-PRO-101"])
    assert.deepStrictEqual(codes({}, ["spec.cli.slackArchiveOnDestroy"]), ["KM-PRO-102"])
    assert.deepStrictEqual(codes({ ...own, notifySlackInboundAllow: ["U0123"] }), ["KM-PRO-103"])
    assert.deepStrictEqual(codes({ notifyEmailEnabled: false }), ["KM-PRO-104"])
  })

  it("nobody may start turns by mail but those whom the profile names", () => {
    assert.deepStrictEqual(emailOf({}), [["install"], []])
    assert.deepStrictEqual(emailOf({ onReceive: "turn" }), [[], ["KM-PRO-105"]])
    assert.deepStrictEqual(emailOf({ onReceive: "turn", allowedSenders: ["sb-a"] }), [["sb-a"], []])
    assert.deepStrictEqual(emailOf({ onReceive: "notify", allowedSenders: [] }), [[], []])
    assert.deepStrictEqual(
      emailOf({ onReceive: "turn", allowedSenders: ["install"] }, {
        notifyEmailEnabled: false,
        notifySlackEnabled: true
      }),
      [["install"], ["KM-PRO-106"]]
    )
  })

  it("mail cannot be made unsigned, and who asks for it hears so", () => {
    assert.deepStrictEqual(emailOf({ signing: "required" }), [["install"], []])
    for (const signing of ["optional", "off"] as const) {
      assert.deepStrictEqual(emailOf({ signing }), [["install"], ["KM-PRO-107"]])
    }
  })

  it("every code is explained once", () => {
    assert.deepStrictEqual(errorCodes.map(({ code }) => code), [...ProfileCode.literals])
  })
})

/** A file's tree: scalars, lists (plain or added) and maps each at keys of their own, as the schema has them. */
const Scalar = Schema.Union([Schema.String, Schema.Int, Schema.Boolean])
const Items = Schema.Array(Schema.Literals(["a", "b", "c", "d"]))
const Level = {
  scalar: Schema.optionalKey(Scalar),
  other: Schema.optionalKey(Scalar),
  list: Schema.optionalKey(Schema.Union([Items, Schema.Struct({ add: Items })]))
}
const Tree = Schema.Struct({ ...Level, map: Schema.optionalKey(Schema.Struct(Level)) })

const dedupe = (tree: unknown): unknown =>
  JSON.parse(JSON.stringify(tree), (_, value: unknown) => Array.isArray(value) ? [...new Set(value)] : value)

describe("ProfileExtends", () => {
  it.prop("merging is associative", [Tree, Tree, Tree], ([a, b, c]) => {
    const left = mergeProfiles(mergeProfiles(a, b), c)
    const right = mergeProfiles(a, mergeProfiles(b, c))
    assert.deepStrictEqual(dedupe(left), dedupe(right))
  })

  it.prop("an empty profile changes nothing, on either side", [Tree], ([a]) => {
    assert.deepStrictEqual(mergeProfiles({}, a), a)
    assert.deepStrictEqual(mergeProfiles(a, {}), a)
  })

  it.prop("extending oneself changes nothing", [Tree], ([a]) => {
    assert.deepStrictEqual(dedupe(mergeProfiles(a, a)), dedupe(a))
  })

  it.prop("the child's scalar wins, and no added list is left", [Tree, Tree], ([a, b]) => {
    const merged = resolveAdds(mergeProfiles(a, b))
    assert.isObject(merged)
    assert.strictEqual(Reflect.get(merged as object, "scalar"), b.scalar ?? a.scalar)
    const list: unknown = Reflect.get(merged as object, "list")
    assert.isTrue(list === undefined || Array.isArray(list))
  })

  it("replaces or adds", () => {
    assert.deepStrictEqual(mergeProfiles({ l: ["a", "b"] }, { l: ["c"] }), { l: ["c"] })
    assert.deepStrictEqual(mergeProfiles({ l: ["a", "b"] }, { l: { add: ["b", "c"] } }), { l: ["a", "b", "c"] })
    assert.deepStrictEqual(resolveAdds(mergeProfiles({}, { l: { add: ["c"] } })), { l: ["c"] })
    assert.deepStrictEqual(mergeProfiles({ l: ["a"] }, { l: [] }), { l: [] })
  })
})

const merged = (...specs: ReadonlyArray<object>) =>
  specs.map((spec) => writeOutShorthands({ spec })).reduce(mergeProfiles)

describe("spec.network", () => {
  const open = { mode: "shared", allowedHosts: [] } as const
  const closed = { mode: "none", allowedHosts: [] } as const

  it("is none when nothing is said; a bare word is short for the mode", () => {
    assert.deepStrictEqual(networkOf({}), [closed])
    assert.deepStrictEqual(networkOf({ network: {} }), [closed])
    assert.deepStrictEqual(networkOf({ network: "none" }), [closed])
    assert.deepStrictEqual(networkOf({ network: { mode: "none" } }), [closed])
  })

  it("is the machine's only where that word stands, and then it is said", () => {
    assert.deepStrictEqual(networkOf({ network: "shared" }), [open, "warning KM-PRO-111"])
    assert.deepStrictEqual(networkOf({ network: { mode: "shared" } }), [open, "warning KM-PRO-111"])
  })

  it("is the proxy where there is something to reach through it, unless another word stands", () => {
    const some = [
      { network: { allowedHosts: ["registry.npmjs.org"] } },
      access({ allowedRepos: ["my-org/api"] }),
      access({ publicRead: ["actions/checkout"] }),
      access({ allowedRepos: ["my-org/*"] }, "audit"),
      // Every repository may be read as anybody can.
      access({}, "audit")
    ]
    for (const spec of some) {
      const [network, ...findings] = networkOf(spec)
      assert.include(network, { mode: "proxy" }, JSON.stringify(spec))
      assert.deepStrictEqual(findings, [])
    }
    for (const spec of [access({}), access({ allowedRefs: ["main"], capabilities: ["pulls"] }), access({}, "none")]) {
      assert.deepStrictEqual(networkOf(spec)[0], closed, JSON.stringify(spec))
    }
    const listed = access({ publicRead: ["actions/checkout"] })
    assert.deepStrictEqual(networkOf({ ...listed, network: "none" }), [closed, "warning KM-PRO-112"])
    assert.deepStrictEqual(networkOf({ ...listed, network: "shared" }), [open, "warning KM-PRO-111"])
  })

  it("is found once: what was resolved is written out, and read again as it was under any default", () => {
    const specs = [{}, { network: { mode: "shared" } }, { network: { allowedHosts: ["registry.npmjs.org"] } }] as const
    for (const spec of specs) {
      const profile = Schema.decodeSync(Profile)({
        apiVersion: "klankermaker.ai/v1",
        kind: "SandboxProfile",
        metadata: { name: "demo" },
        spec
      })
      const stored = Schema.encodeSync(Profile)(profile)
      assert.strictEqual(stored.spec?.network?.mode, profile.spec.network.mode)
      assert.deepStrictEqual(Schema.decodeSync(Profile)(stored), profile)
    }
  })

  it("refuses another word, another type, and a key that is not there", () => {
    for (const word of ["", "None", "off", "proxies"]) {
      assert.deepStrictEqual(networkOf({ network: word }), ["KM-PRO-005 spec.network.mode"], word)
    }
    for (const value of [null, false, 0, ["none"]]) {
      assert.deepStrictEqual(networkOf({ network: value }), ["KM-PRO-005 spec.network"], JSON.stringify(value))
    }
    assert.deepStrictEqual(networkOf({ network: { mode: "none", hosts: [] } }), ["KM-PRO-003 spec.network.hosts"])
  })

  it("refuses hosts that are none, and a list of hosts that would limit nothing", () => {
    const allowedHosts = ["registry.npmjs.org"]
    assert.deepStrictEqual(networkOf({ network: "proxy" }).slice(1), [])
    assert.deepStrictEqual(networkOf({ network: { mode: "proxy", allowedHosts } }).slice(1), [])
    for (
      const host of ["*", "*.*", "10.0.0.1", "https://a.example.com", "a.example.com/x", "localhost", "a.example.com:0"]
    ) {
      assert.deepStrictEqual(networkOf({ network: { mode: "proxy", allowedHosts: [host] } }).slice(1), [
        "error KM-PRO-020"
      ], host)
    }
    assert.deepStrictEqual(networkOf({ network: { mode: "shared", allowedHosts } }).slice(1), [
      "error KM-PRO-021",
      "warning KM-PRO-111"
    ])
    assert.deepStrictEqual(networkOf({ network: { mode: "none", allowedHosts } }).slice(1), ["warning KM-PRO-108"])
  })

  it("keeps a parent's bare word when a child adds a key, and a child's word wins", () => {
    assert.deepStrictEqual(merged({ network: "none" }, { network: { allowedHosts: ["a"] } }), {
      spec: { network: { mode: "none", allowedHosts: ["a"] } }
    })
    assert.deepStrictEqual(merged({ network: { mode: "none", allowedHosts: ["a"] } }, { network: "shared" }), {
      spec: { network: { mode: "shared", allowedHosts: ["a"] } }
    })
    for (
      const raw of [undefined, null, [], "none", { spec: null }, { spec: ["network"] }, { spec: { network: null } }]
    ) {
      assert.deepStrictEqual(writeOutShorthands(raw), raw)
    }
  })
})
