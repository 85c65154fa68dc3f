/** What the control plane of this build can do when a schedule fires; `km at` refuses the rest when it is planned. */
import { type ActionKind, sandboxActionKinds } from "../../runtime/domain/schedule/ScheduleAction.ts"

/** One entry for each runner that `km up` has; a room that brings another one adds its kinds here. */
export const schedulableKinds: ReadonlyArray<ActionKind> = [...sandboxActionKinds, "EmailSend"]
