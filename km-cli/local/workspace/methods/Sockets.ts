/**
 * `apps.connections.open`: a URL for one connection of Socket Mode.
 */
import * as Effect from "effect/Effect"
import type { Method } from "../Call.ts"
import type { WorkspaceState } from "../WorkspaceState.ts"

/** The methods of this file by name. Tier 3 by one stored copy of Slack's page, tier 1 by another. */
export const socketMethods = (state: WorkspaceState): Record<string, Method> => ({
  "apps.connections.open": {
    tier: 3,
    scopes: ["connections:write"],
    appLevel: true,
    run: () => Effect.map(state.sockets.ticket, (url) => ({ url }))
  }
})
