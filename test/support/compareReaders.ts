/** Both readers of events on the same mutated events: whatever the quick one takes, the schemas take alike. */
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import { isDeepStrictEqual } from "node:util"
import { readCommonEvent } from "../../runtime/domain/slack/CommonEvent.ts"
import { SlackEnvelope, SlackMessageEvent } from "../../runtime/domain/slack/Slack.ts"
import { mutatedEvent, seeded } from "./mutatedEvents.ts"

const envelopeOf = Schema.decodeUnknownExit(SlackEnvelope)
const messageOf = Schema.decodeUnknownExit(SlackMessageEvent)

/** The schemas' value, or undefined where they refuse. */
const bySchema = (json: unknown): unknown => {
  const envelope = envelopeOf(json)
  if (Exit.isFailure(envelope)) return undefined
  const event = messageOf(envelope.value.event)
  return Exit.isFailure(event) ? undefined : { envelope: envelope.value, event: event.value }
}

export const compareReaders = (count: number, seed: number) => {
  const random = seeded(seed)
  const differing: Array<string> = []
  let taken = 0
  for (let n = 0; n < count; n++) {
    const json = mutatedEvent(random)
    const quick = readCommonEvent(json)
    if (quick === undefined) continue
    taken++
    if (!isDeepStrictEqual(quick, bySchema(json)) && differing.length < 5) differing.push(JSON.stringify(json))
  }
  return { tried: count, taken, differing }
}
