/**
 * The Web API methods that this workspace has. What is not here is answered `unknown_method`, as Slack does, also
 * where the emulator has a handler that nothing repairs.
 */
import type { Method } from "../Call.ts"
import type { WorkspaceState } from "../WorkspaceState.ts"
import { connectMethods } from "./Connect.ts"
import { conversationMethods } from "./Conversations.ts"
import { editingMethods } from "./Editing.ts"
import { fileMethods } from "./Files.ts"
import { postMessage } from "./Posting.ts"
import { reactionMethods } from "./Reactions.ts"
import { readingMethods } from "./Reading.ts"
import { socketMethods } from "./Sockets.ts"
import { userMethods } from "./Users.ts"

/** All methods by name. */
export const allMethods = (state: WorkspaceState): ReadonlyMap<string, Method> =>
  new Map(Object.entries(
    {
      "chat.postMessage": { tier: "channel", scopes: ["chat:write"], run: postMessage(state) },
      ...editingMethods(state),
      ...readingMethods(state),
      ...conversationMethods(state),
      ...connectMethods(state),
      ...reactionMethods(state),
      ...fileMethods(state),
      ...socketMethods(state),
      ...userMethods(state)
    } satisfies Record<string, Method>
  ))
