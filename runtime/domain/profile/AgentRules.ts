/** The rules of a profile about who lets the agent use its tools. */
import { durationBounds, durationMillis, type Profile } from "./Profile.ts"
import type { ProfileCode } from "./ProfileErrors.ts"

interface Finding {
  readonly severity: "error" | "warning"
  readonly path: string
  readonly code: ProfileCode
  readonly message: string
}

export const agentFindings = ({ agent, cli }: Profile["spec"]): ReadonlyArray<Finding> => {
  const bounds = durationBounds.get("spec.agent.askTimeout")
  const millis = durationMillis(agent.askTimeout)
  return [
    ...(bounds === undefined || (millis >= bounds.min && millis <= bounds.max) ? [] : [{
      severity: "error" as const,
      path: "spec.agent.askTimeout",
      code: "KM-PRO-022" as const,
      message: `${agent.askTimeout} is not between 1s and 11h; a turn may take no longer, waiting included`
    }]),
    ...(agent.permissions === "ask" || agent.permissionRules.length === 0 ? [] : [{
      severity: "warning" as const,
      path: "spec.agent.permissionRules",
      code: "KM-PRO-113" as const,
      message: `has no effect with permissions: ${agent.permissions}; set spec.agent.permissions: ask or leave it out`
    }]),
    ...(agent.permissions !== "ask" || cli.notifySlackEnabled ? [] : [{
      severity: "warning" as const,
      path: "spec.agent.permissions",
      code: "KM-PRO-114" as const,
      message: "nobody can be asked while Slack is off: whatever permissionRules do not allow is denied"
    }])
  ]
}
