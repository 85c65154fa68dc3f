/** Profiles for tests, decoded as files are. */
import { Schema } from "effect"
import { Profile } from "../../runtime/domain/profile/Profile.ts"

/** A profile named `demo` with these keys of `spec.cli` and other parts of `spec`. */
export const profileWith = (cli: object = {}, spec: object = {}): Profile =>
  Schema.decodeSync(Profile)({
    apiVersion: "klankermaker.ai/v1",
    kind: "SandboxProfile",
    metadata: { name: "demo" },
    spec: { ...spec, cli }
  })

/** Every Slack feature on and no network, as in `profiles/demo.yaml`. */
export const slackProfile: Profile = profileWith({
  notifySlackEnabled: true,
  notifySlackPerSandbox: true,
  notifySlackInboundEnabled: true,
  notifySlackTranscriptEnabled: true
})
