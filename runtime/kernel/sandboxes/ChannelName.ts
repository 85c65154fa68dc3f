/** How a sandbox's own channel is called: the same rule for create, repair and what `km` shows. */
import type { Alias, SandboxId } from "../../domain/sandbox/Ids.ts"

/** Slack's limit for channel names. Source: conversations.create, `invalid_name_maxlength`, read 2026-11. */
const maxLength = 80

/**
 * `sb-{alias or id}`; what already begins with `sb-` is not prefixed again. Lower case, other characters than
 * `a-z 0-9 _ -` become `-`, runs of `-` become one, at most 80 characters.
 */
export const channelNameOf = (sandbox: { readonly id: SandboxId; readonly alias?: Alias }): string => {
  const base = sandbox.alias ?? sandbox.id
  const name = base.startsWith("sb-") ? base : `sb-${base}`
  return name.toLowerCase().replace(/[^a-z0-9_-]+/g, "-").replace(/-{2,}/g, "-").slice(0, maxLength)
    .replace(/^-+|-+$/g, "")
}

/** The one channel of an install for sandboxes that share one. */
export const sharedChannelName = (install: string): string => `${install}-notifications`.slice(0, maxLength)
