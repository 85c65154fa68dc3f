/** Settings of `km`: flags over environment over `km.config.yaml` over defaults, each with where it came from. */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { userInfo } from "node:os"
import { AwsPlace } from "../runtime/domain/install/AwsPlace.ts"
import { isIpAddress, parseListen } from "../runtime/domain/install/BridgeListen.ts"
import {
  type BridgeAddress,
  BridgeAddress as BridgeAddressSchema,
  type Install
} from "../runtime/domain/install/Install.ts"
import { expandHome, statePlace } from "../runtime/domain/install/StatePath.ts"
import { durationMillis, DurationText } from "../runtime/domain/profile/Profile.ts"
import { InstallName } from "../runtime/domain/sandbox/Ids.ts"
import { ConfigFlag, InstallFlag, StateFlag } from "./InstallFlags.ts"
import { type KmError, kmError } from "./KmError.ts"
import { publicUrlOf } from "./slack/PublicUrl.ts"

export type Source = "flag" | "environment" | "file" | "default"

/** One setting with its provenance, as `km config explain` shows it. */
export interface Explained {
  readonly key: string
  readonly value: string
  readonly source: Source
  /** The flag, variable, file or rule that set it. */
  readonly from: string
}

export interface KmSettings {
  /** Absolute. */
  readonly state: string
  readonly install: InstallName
  /** How long `km create` waits for readiness, milliseconds. */
  readonly readyWithinMillis: number
  /** The operator accepts an agent without a jail. */
  readonly unconfined: boolean
  /** `km up` may read the certifier's key, to renew certificates and for scheduled creates. */
  readonly unattendedCertifier: boolean
  /** What is set of it; `km init` and `km slack init` write it into the install, and `km up` when it starts. */
  readonly bridge: BridgeAddress
  /** Whether a person named the install, by a flag, a variable or the file. */
  readonly installGiven: boolean
  /** The configuration file that was read, absolute. */
  readonly configFile: string | undefined
  /** Where an install that is made now will live; empty: on this machine. */
  readonly engine: Pick<Install, "engine" | "aws">
  /** Where a workspace that is connected has its API; with a trailing slash. */
  readonly slackApiUrl: string
  readonly explained: ReadonlyArray<Explained>
}

/** What the file may say; everything else in it is an error. */
const ConfigFile = Schema.Struct({
  state: Schema.optionalKey(Schema.NonEmptyString),
  install: Schema.optionalKey(InstallName),
  readyWithin: Schema.optionalKey(DurationText),
  unconfined: Schema.optionalKey(Schema.Boolean),
  unattendedCertifier: Schema.optionalKey(Schema.Boolean),
  slackApiUrl: Schema.optionalKey(Schema.NonEmptyString),
  engine: Schema.optionalKey(Schema.Literals(["embedded", "aws"])),
  aws: Schema.optionalKey(Schema.Struct({
    region: Schema.optionalKey(Schema.NonEmptyString),
    accountId: Schema.optionalKey(Schema.NonEmptyString),
    endpoint: Schema.optionalKey(Schema.NonEmptyString)
  })),
  bridge: Schema.optionalKey(Schema.Struct({
    publicUrl: Schema.optionalKey(Schema.NonEmptyString),
    listen: Schema.optionalKey(Schema.NonEmptyString),
    trustedProxy: Schema.optionalKey(Schema.NonEmptyString)
  }))
})
type ConfigFile = typeof ConfigFile.Type
const decodeFile = Schema.decodeUnknownResult(ConfigFile, { errors: "all", onExcessProperty: "error" })

/** Bytes; a page of text. */
const maxFileBytes = 64 * 1024

const settingKeys = Object.keys(ConfigFile.fields)

const readFile = Effect.fnUntraced(function*(file: string, required: boolean) {
  const fs = yield* FileSystem.FileSystem
  const wrong = (why: string) => kmError("KM-CLI-010", `the configuration file ${file} cannot be used`, why)
  if (!(yield* Effect.orElseSucceed(fs.exists(file), () => false))) {
    if (required) return yield* wrong("there is no such file")
    return undefined
  }
  const { size, type } = yield* Effect.mapError(fs.stat(file), (error) => wrong(error.message))
  // A device or a pipe may have no end, or never begin.
  if (type !== "File") return yield* wrong("it is no regular file")
  if (size > maxFileBytes) return yield* wrong(`it is larger than ${maxFileBytes / 1024} KiB`)
  const text = yield* Effect.mapError(fs.readFileString(file), (error) => wrong(error.message))
  const { readYaml } = yield* Effect.promise(() => import("../profiles/Yaml.ts"))
  const yaml = readYaml(text)
  if (Result.isFailure(yaml)) {
    return yield* wrong(
      yaml.failure.map(({ line, message }) => line === undefined ? message : `line ${line}: ${message}`).join("; ")
    )
  }
  const raw = yaml.success.raw ?? {}
  const decoded = decodeFile(raw)
  if (Result.isSuccess(decoded)) return decoded.success
  const unknown = typeof raw === "object" && raw !== null
    ? Object.keys(raw).find((key) => !settingKeys.includes(key))
    : undefined
  if (unknown === undefined) return yield* wrong(decoded.failure.message)
  const { nearest } = yield* Effect.promise(() => import("../runtime/domain/profile/ProfileDecode.ts"))
  return yield* wrong(`unknown key ${unknown}; did you mean ${nearest(unknown, settingKeys) ?? "state"}?`)
})

const variable = (name: string) =>
  Config.String(name).pipe(
    Config.option,
    Effect.map(Option.filter((value) => value !== "")),
    Effect.orElseSucceed(() => Option.none<string>())
  )

const decodeInstall = (text: string) => Option.getOrUndefined(Schema.decodeOption(InstallName)(text))
const decodePlace = Schema.decodeUnknownResult(AwsPlace)
const engineNamed = (text: string): "embedded" | "aws" | undefined =>
  text === "embedded" || text === "aws" ? text : undefined
const asIs = (text: string): string => text
const decodeBridge = Schema.decodeUnknownResult(BridgeAddressSchema)
/** A token goes there: https, or this machine. */
const apiUrlOf = (text: string): string | undefined => {
  if (!URL.canParse(text) || !text.endsWith("/")) return undefined
  const { hostname, protocol, search } = new URL(text)
  const local = /^(127\.\d+\.\d+\.\d+|localhost|\[::1\])$/.test(hostname)
  return search === "" && (protocol === "https:" || (protocol === "http:" && local)) ? text : undefined
}

/** What each setting looks like, for who gave another thing. */
const forms = {
  install: "a name of up to 20 lower-case letters, digits and hyphens that begins with a letter",
  readyWithin: "a duration such as 30s, 15m, 8h or 2d",
  unconfined: "true or false",
  unattendedCertifier: "true or false",
  "bridge.publicUrl": "an https address without a path",
  "bridge.listen": "an IP address and a port",
  "bridge.trustedProxy": "an IP address",
  slackApiUrl: "an https address that ends with / (http on this machine alone)",
  engine: "embedded or aws",
  "aws.region": "a region such as eu-central-1",
  "aws.accountId": "an account's twelve digits",
  "aws.endpoint": "an http address of this machine"
} as const

/** Of a setting that has no default. */
const unset = { value: "", from: "not set" }

const truth = (text: string): boolean | undefined => ({ true: true, "1": true, false: false, "0": false })[text]

interface Flags {
  readonly state: Option.Option<string>
  readonly install: Option.Option<string>
  readonly config: Option.Option<string>
}

/** What the environment and the operating system know of where the person lives; the latter has nothing for some users. */
const homes = Effect.gen(function*() {
  const account = yield* Effect.option(Effect.try({ try: () => userInfo().homedir, catch: () => "none" as const }))
  return {
    home: Option.getOrUndefined(yield* variable("HOME")),
    account: Option.getOrUndefined(account)
  }
})

/** A path that a person gave, without its `~`. Fails with `code` for what is no path. */
export const pathFrom = Effect.fnUntraced(function*(
  text: string,
  from: string,
  code: "KM-CLI-001" | "KM-CLI-010" = "KM-CLI-001"
) {
  if (text === "") return yield* kmError(code, `${from} is empty`, "a path is missing")
  const expanded = expandHome(text, yield* homes)
  if (Result.isFailure(expanded)) return yield* kmError(code, `${from} cannot be used`, expanded.failure)
  return expanded.success
})

const refused = (why: string) =>
  kmError("KM-CLI-010", "there is no state directory", why, "set KM_STATE to a directory of your own, then: km up")

/** Secrets go there: a place that is not known is refused, never guessed. */
const stateOf = Effect.fnUntraced(function*(
  flag: Option.Option<string>,
  inFile: string | undefined,
  file: string,
  /** Installs that a flag names lie beside one another; a variable or the file names the one that is there. */
  named: InstallName | undefined
) {
  const path = yield* Path.Path
  const variables = yield* variable("KM_STATE")
  if (Option.isNone(flag) && Option.isNone(variables) && inFile !== undefined) {
    const expanded = expandHome(inFile, yield* homes)
    if (Result.isFailure(expanded)) return yield* refused(`${file}: ${expanded.failure}`)
    return { value: path.resolve(path.dirname(file), expanded.success), source: "file" as const, from: file }
  }
  const place = statePlace({
    flag: Option.getOrUndefined(flag),
    variable: Option.getOrUndefined(variables),
    xdg: Option.getOrUndefined(yield* variable("XDG_STATE_HOME")),
    ...yield* homes
  })
  if (Result.isFailure(place)) return yield* refused(place.failure)
  const { from } = place.success
  const sources = { "--state": "flag", KM_STATE: "environment" } as const
  const source = from === "--state" || from === "KM_STATE" ? sources[from] : "default" as const
  const beside = source === "default" && named !== undefined && named !== "km" ? `-${named}` : ""
  return {
    value: path.resolve(`${place.success.path}${beside}`),
    source: beside === "" ? source : "flag" as const,
    from: beside === "" ? from : "--install"
  }
})

/** Reads everything once. Fails with KM-CLI-010 for what cannot be used, naming where it came from. */
export const readSettings = Effect.fn("Configuration.read")(function*(flags: Flags): Effect.fn.Return<
  KmSettings,
  KmError,
  FileSystem.FileSystem | Path.Path
> {
  const path = yield* Path.Path
  const fromEnv = yield* variable("KM_CONFIG")
  const wanted = Option.orElse(flags.config, () => fromEnv)
  const file = path.resolve(
    yield* pathFrom(
      Option.getOrElse(wanted, () => "km.config.yaml"),
      Option.isSome(flags.config) ? "--config" : "KM_CONFIG",
      "KM-CLI-010"
    )
  )
  const found = yield* readFile(file, Option.isSome(wanted))
  const config: ConfigFile = found ?? {}

  const pick = Effect.fnUntraced(function*<A>(
    key: keyof typeof forms,
    name: string,
    decode: (text: string) => A | undefined,
    inFile: A | undefined,
    fallback: { readonly value: A; readonly from: string }
  ) {
    const text = yield* variable(name)
    if (Option.isSome(text)) {
      const value = decode(text.value)
      if (value === undefined) {
        return yield* kmError(
          "KM-CLI-010",
          `${name} cannot be used`,
          `${JSON.stringify(text.value)} is no ${key}; ${forms[key]} is needed`
        )
      }
      return { value, source: "environment" as const, from: name }
    }
    if (inFile !== undefined) return { value: inFile, source: "file" as const, from: file }
    return { ...fallback, source: "default" as const }
  })

  const flagged = Option.isNone(flags.install) ? undefined : decodeInstall(flags.install.value)
  if (Option.isSome(flags.install) && flagged === undefined) {
    return yield* kmError(
      "KM-CLI-001",
      "--install cannot be used",
      `${forms.install} is needed`
    )
  }
  const state = yield* stateOf(flags.state, config.state, file, flagged)
  const install = flagged === undefined
    ? yield* pick("install", "KM_INSTALL", decodeInstall, config.install, {
      value: InstallName.make("km"),
      from: "built in"
    })
    : { value: flagged, source: "flag" as const, from: "--install" }
  const readyWithin = yield* pick(
    "readyWithin",
    "KM_READY_WITHIN",
    (text) => Option.getOrUndefined(Schema.decodeOption(DurationText)(text)),
    config.readyWithin,
    { value: "60s", from: "built in" }
  )
  const unconfined = yield* pick(
    "unconfined",
    "KM_UNCONFINED",
    truth,
    config.unconfined,
    { value: false, from: "built in" }
  )
  const unattendedCertifier = yield* pick(
    "unattendedCertifier",
    "KM_UNATTENDED_CERTIFIER",
    truth,
    config.unattendedCertifier,
    { value: false, from: "built in" }
  )
  const publicUrl = yield* pick(
    "bridge.publicUrl",
    "KM_BRIDGE_PUBLIC_URL",
    publicUrlOf,
    config.bridge?.publicUrl,
    unset
  )
  const listen = yield* pick(
    "bridge.listen",
    "KM_BRIDGE_LISTEN",
    (text) => parseListen(text) === undefined ? undefined : text,
    config.bridge?.listen,
    unset
  )
  const trustedProxy = yield* pick(
    "bridge.trustedProxy",
    "KM_BRIDGE_TRUSTED_PROXY",
    (text) => isIpAddress(text) ? text : undefined,
    config.bridge?.trustedProxy,
    unset
  )
  const bridge = decodeBridge({
    ...(publicUrl.value === "" ? {} : { publicUrl: publicUrlOf(publicUrl.value) ?? publicUrl.value }),
    ...(listen.value === "" ? {} : { listen: listen.value }),
    ...(trustedProxy.value === "" ? {} : { trustedProxy: trustedProxy.value })
  })
  if (Result.isFailure(bridge)) {
    return yield* kmError("KM-CLI-010", "the bridge's address cannot be used", bridge.failure.message)
  }
  if (publicUrl.value !== "" && publicUrlOf(publicUrl.value) === undefined) {
    return yield* kmError(
      "KM-CLI-010",
      "bridge.publicUrl cannot be used",
      `${publicUrl.from}: ${forms["bridge.publicUrl"]} is needed`
    )
  }
  const slackApiUrl = yield* pick("slackApiUrl", "KM_SLACK_API_URL", apiUrlOf, config.slackApiUrl, {
    value: "https://slack.com/api/",
    from: "built in"
  })
  if (apiUrlOf(slackApiUrl.value) === undefined) {
    return yield* kmError(
      "KM-CLI-010",
      "slackApiUrl cannot be used",
      `${slackApiUrl.from}: ${forms.slackApiUrl} is needed`
    )
  }
  const engine = yield* pick("engine", "KM_ENGINE", engineNamed, config.engine, { value: "embedded", from: "built in" })
  const region = yield* pick("aws.region", "KM_AWS_REGION", asIs, config.aws?.region, unset)
  const accountId = yield* pick("aws.accountId", "KM_AWS_ACCOUNT_ID", asIs, config.aws?.accountId, unset)
  const endpoint = yield* pick("aws.endpoint", "KM_AWS_ENDPOINT", asIs, config.aws?.endpoint, unset)
  const place = engine.value === "embedded" ? undefined : decodePlace({
    region: region.value,
    accountId: accountId.value,
    ...(endpoint.value === "" ? {} : { endpoint: endpoint.value })
  })
  if (place !== undefined && Result.isFailure(place)) {
    return yield* kmError("KM-CLI-010", "the engine aws cannot be used", place.failure.message)
  }
  const all = {
    state,
    install,
    readyWithin,
    unconfined,
    unattendedCertifier,
    "bridge.publicUrl": publicUrl,
    "bridge.listen": listen,
    "bridge.trustedProxy": trustedProxy,
    slackApiUrl,
    engine,
    "aws.region": region,
    "aws.accountId": accountId,
    "aws.endpoint": endpoint
  }
  return {
    state: state.value,
    install: install.value,
    readyWithinMillis: durationMillis(readyWithin.value),
    unconfined: unconfined.value,
    unattendedCertifier: unattendedCertifier.value,
    bridge: bridge.success,
    engine: place === undefined ? {} : { engine: "aws", aws: place.success },
    configFile: found === undefined ? undefined : file,
    slackApiUrl: slackApiUrl.value,
    installGiven: install.source !== "default",
    explained: Object.entries(all).map(([key, { from, source, value }]) => ({
      key,
      value: String(value),
      source,
      from
    }))
  }
})

/** The settings under the flags of the running command. */
export const settings = Effect.gen(function*() {
  return yield* readSettings({ state: yield* StateFlag, config: yield* ConfigFlag, install: yield* InstallFlag })
})
