/** Wake-ups by topic. What others changed is looked for; processes of one machine tell each other, which costs no request. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Doorbell } from "../../adapters/disk/Doorbell.ts"
import { type Bell, counter, makeBell } from "../../ports/Bell.ts"

export class Bells extends Context.Service<Bells, {
  readonly of: (topic: string) => Bell
  /** Of a topic that nobody will ask for any more; who still waits is woken. */
  readonly forget: (topic: string) => Effect.Effect<void>
}>()("km/runtime/engines/aws/Bells") {
  /** Within this process. */
  static readonly layer: Layer.Layer<Bells> = Layer.sync(Bells, () => {
    const tick = counter()
    const bells = new Map<string, Bell>()
    return Bells.of({
      of: (topic) => {
        const bell = bells.get(topic) ?? makeBell(tick)
        bells.set(topic, bell)
        return bell
      },
      forget: (topic) =>
        Effect.sync(() => {
          const bell = bells.get(topic)
          bells.delete(topic)
          bell?.ring()
        })
    })
  })

  /** Between all processes that share the directory. */
  static readonly layerShared = (directory: string): Layer.Layer<Bells> =>
    Layer.effect(Bells, Effect.map(Doorbell, ({ forget, topic }) => Bells.of({ of: topic, forget }))).pipe(
      Layer.provide(Doorbell.layer(directory))
    )
}

export const mailTopic = (owner: string): string => `mail-${owner}`
export const outboxTopic = "mail-outbox"
export const spoolTopic = "mail-spool"
