/** How a sandbox's own channel is called: the same rule for create, repair and what `km` shows. */
import type { Alias, InstallName, SandboxId } from "../../domain/sandbox/Ids.ts"

/**
 * `sb-{alias or id}`; what already begins with `sb-` is not prefixed again. Runs of `-` become one, and none is at the end.
 * Aliases and ids have no character that Slack does not take, and 40 of them at most. Slack's limit is 80 (source:
 * conversations.create, `invalid_name_maxlength`, read 2026-11).
 */
export const channelNameOf = (sandbox: { readonly id: SandboxId; readonly alias?: Alias }): string => {
  const base = sandbox.alias ?? sandbox.id
  const name = base.startsWith("sb-") ? base : `sb-${base}`
  return name.replace(/-{2,}/g, "-").replace(/-$/, "")
}

/** The one channel of an install for sandboxes that share one. */
export const sharedChannelName = (install: InstallName): string => `${install}-notifications`
