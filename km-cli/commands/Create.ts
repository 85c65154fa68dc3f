/** `km create`: a sandbox from a profile, step by step; the same command again continues what was interrupted. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { randomBytes } from "node:crypto"
import { findingLine, readProfile, verdict } from "../../profiles/ProfileFile.ts"
import type { Profile } from "../../runtime/domain/profile/Profile.ts"
import { Alias, SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import { channelPlanOf } from "../../runtime/kernel/sandboxes/ChannelPlan.ts"
import { Provisioning } from "../../runtime/kernel/sandboxes/Provisioning.ts"
import { withReport } from "../../runtime/ports/Reports.ts"
import type { Backend } from "../Backend.ts"
import { pathFrom } from "../Configuration.ts"
import { controlServices } from "../ControlServices.ts"
import { kmError } from "../KmError.ts"
import { needBridge, opened } from "../Opened.ts"
import { ensureOperatorKeys } from "../OperatorDesk.ts"
import { data, talk } from "../Output.ts"
import { channelText, isConfined, refsNotEnforced, unconfinedNetwork, viewOf } from "../SandboxView.ts"
import * as UpFile from "../up/UpFile.ts"
import { surroundings } from "./Validate.ts"

export interface CreateInput {
  readonly file: string
  readonly alias: Option.Option<string>
  readonly id: Option.Option<string>
  readonly unconfined: boolean
  readonly yes: boolean
  readonly dryRun: boolean
}

const decoded = <A>(schema: Schema.Codec<A, string>, text: Option.Option<string>, flag: string) =>
  Option.match(text, {
    onNone: (): Effect.Effect<A | undefined> => Effect.undefined,
    onSome: (value) =>
      Option.match(Schema.decodeOption(schema)(value), {
        onSome: (good) => Effect.succeed<A | undefined>(good),
        onNone: () =>
          Effect.fail(kmError(
            "KM-CLI-001",
            `${JSON.stringify(value)} is no ${flag}`,
            flag === "alias"
              ? "an alias is a-z, 0-9 and -, starts with a letter, at most 40 characters"
              : "an id is a prefix, a - and a-z 0-9, such as sb-1a2b3c4d"
          ))
      })
  })

/** A real model that may use every tool is confined or refused (docs/architecture.md); the scripted one does what its script says. */
const needJail = Effect.fnUntraced(function*(backend: Backend, profile: Profile, unconfined: boolean) {
  if (unconfined || profile.spec.agent.permissions !== "bypass") return
  const up = yield* UpFile.running(backend.paths.run)
  if (Option.isNone(up) || up.value.modelScripted) return
  const { detail, jails, networkStays, remedy } = yield* backend.jail
  if (jails && profile.spec.network.mode !== "shared" && networkStays !== "") {
    return yield* kmError(
      "KM-CLI-017",
      "the agent would have a network, against its profile",
      networkStays,
      "set spec.network: shared in the profile, or accept the risk with --unconfined"
    )
  }
  if (jails) return
  return yield* kmError(
    "KM-CLI-017",
    "the agent would run without a jail",
    detail,
    `${remedy}, or accept the risk with --unconfined`
  )
})

/** A profile that only reports what its refs refuse is taken by somebody who has said so. */
const needConsent = ({ metadata, spec }: Profile, yes: boolean) =>
  yes || spec.sourceAccess.mode !== "audit"
    ? Effect.void
    : kmError(
      "KM-CLI-005",
      "refs would not be enforced",
      `${metadata.name} has spec.sourceAccess.mode: audit, by which pushes, deletes and forced updates are reported and not refused`,
      "set mode: allowlist in the profile, or accept it with --yes"
    )

export const create = Effect.fn("km.create")(function*(input: CreateInput) {
  const { backend, config } = yield* opened
  const alias = yield* decoded(Alias, input.alias, "alias")
  if (alias === "operator") {
    return yield* kmError("KM-CLI-001", `"operator" is the operator's own name`, "mail to it is the operator's")
  }
  const givenId = yield* decoded(SandboxId, input.id, "id")
  const install = yield* backend.install
  const file = yield* pathFrom(input.file, "the profile")
  const report = yield* readProfile(file, yield* surroundings(backend, givenId))
  for (const finding of report.findings) yield* talk(findingLine(finding))
  const { profile } = report
  if (profile === undefined) {
    return yield* kmError("KM-CLI-006", verdict(report), "", `km validate ${file}`)
  }
  const id = givenId ?? SandboxId.make(`${profile.metadata.prefix}-${randomBytes(4).toString("hex")}`)
  const unconfined = input.unconfined || config.unconfined
  if (input.dryRun) {
    const plan = channelPlanOf({
      id,
      ...(alias === undefined ? {} : { alias }),
      install: install.install,
      profile,
      createdAt: 0
    })
    const channel = plan === undefined ? undefined : plan.mode === "override" ? plan.channel : `#${plan.name}`
    return yield* data(
      [
        `would create ${id}${alias === undefined ? "" : ` (${alias})`} from ${file}`,
        `  channel  ${channel ?? "none"}`,
        `  ttl      ${profile.spec.lifecycle.ttl}`,
        `  inbound  ${profile.spec.cli.notifySlackInboundEnabled ? "a queue" : "off"}`,
        `  network  ${profile.spec.network.mode}`,
        `  jail     ${unconfined ? "unconfined, as asked" : "required"}`,
        ...(profile.spec.sourceAccess.mode === "audit" ? [`  github   ${refsNotEnforced}; needs --yes`] : [])
      ],
      {
        ok: true,
        dryRun: true,
        id,
        ...(alias === undefined ? {} : { alias }),
        channel: channel ?? null,
        network: profile.spec.network.mode,
        unconfined
      }
    )
  }
  yield* needConsent(profile, input.yes)
  yield* needJail(backend, profile, unconfined)
  if (profile.spec.cli.notifySlackEnabled) yield* needBridge(backend, install)
  const services = controlServices(backend, install, "operator").pipe(Layer.provideMerge(backend.ports("short")))
  yield* Effect.provide(ensureOperatorKeys(backend, install), backend.ports("short"))
  const begun = performance.now()
  yield* talk(`creating ${id}${alias === undefined ? "" : ` (${alias})`}; after an interruption: --id ${id}`)
  const row = yield* Effect.flatMap(Provisioning, (provisioning) =>
    provisioning.create(
      {
        id,
        install: install.install,
        mailDomain: install.mailDomain,
        alias,
        profile,
        unconfined,
        readyWithin: Duration.millis(config.readyWithinMillis)
      },
      (step, detail) =>
        talk(`  ${step.padEnd(8)} ${detail === "" ? "done" : detail}  ${Math.round(performance.now() - begun)} ms`)
    )).pipe(Effect.flatMap(withReport), Effect.provide(services))
  if (!isConfined(row)) {
    yield* talk(`its agent is UNCONFINED: it can read what this machine's user can${unconfinedNetwork(row)}`)
  }
  return yield* data(
    [`${row.alias ?? row.id} is ready in ${channelText(row)}`],
    { ok: true, sandbox: viewOf(row) }
  )
})
