/** Wake-ups of one process by topic: what it changed itself, its own readers see at once; others' changes they look for. */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import { type Bell, counter, makeBell } from "../../ports/Bell.ts"

export class Bells extends Context.Service<Bells, {
  readonly of: (topic: string) => Bell
  /** Of a topic that nobody will ask for any more. */
  readonly forget: (topic: string) => void
}>()("km/runtime/engines/aws/Bells") {
  static readonly layer: Layer.Layer<Bells> = Layer.sync(Bells, () => {
    const tick = counter()
    const bells = new Map<string, Bell>()
    return Bells.of({
      of: (topic) => {
        const bell = bells.get(topic) ?? makeBell(tick)
        bells.set(topic, bell)
        return bell
      },
      forget: (topic) => {
        bells.get(topic)?.ring()
        bells.delete(topic)
      }
    })
  })
}

export const mailTopic = (owner: string): string => `mail-${owner}`
export const outboxTopic = "mail-outbox"
export const spoolTopic = "mail-spool"
