/**
 * A person clicks a button: Slack's `block_actions`, as a signed form to the app's interactivity URL, or as an envelope
 * where Socket Mode is on. Source of the fields: docs.slack.dev/reference/interaction-payloads/block_actions-payload; of the
 * form, the signature and the three seconds: docs.slack.dev/interactivity/handling-user-interaction.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as http from "node:http"
import type { Channel } from "./Channels.ts"
import { signature } from "./EventSender.ts"
import { slackId } from "./Identifiers.ts"
import { send } from "./InnerHttp.ts"
import { type Json, objectsOf, textOf } from "./Json.ts"
import type { Member } from "./People.ts"
import { refusal, type SlackRefusal } from "./WorkspaceError.ts"
import { eventTs, shownMessage, storedMessage, type WorkspaceState } from "./WorkspaceState.ts"

/** What a person does. */
export const ClickOrder = Schema.Struct({
  /** Who clicks: a name or a user id. */
  person: Schema.String,
  /** Id or name. */
  channel: Schema.String,
  /** Of the message with the button. */
  ts: Schema.String,
  /** The button's `action_id`; without it the only button of the message. */
  action: Schema.optionalKey(Schema.String),
  /** As if the button were still there with this value: a window that shows an older state of the message. */
  value: Schema.optionalKey(Schema.String)
})
export type ClickOrder = typeof ClickOrder.Type

/** What the person sees of it at once: Slack shows a warning sign where the app did not answer with a 200 in time. */
export interface ClickAnswer {
  readonly ok: boolean
  /** Absent over a socket, and where nobody answered. */
  readonly status?: number
}

export interface Clicking {
  /** A person presses a button that is there; `no_such_button` where it has gone. */
  readonly click: (order: ClickOrder) => Effect.Effect<ClickAnswer, SlackRefusal | ClickImpossible>
  /** Any payload, signed or framed as Slack would. */
  readonly deliver: (payload: Json) => Effect.Effect<ClickAnswer>
  /** Where interactions go by HTTP; unless set, beside the events URL. */
  readonly setUrl: (url: string) => void
}

/** The message cannot be read. */
export class ClickImpossible extends Schema.TaggedError<ClickImpossible>()("ClickImpossible", {
  detail: Schema.String
}) {
  override get message(): string {
    return `nothing can be clicked there: ${this.detail}`
  }
}

/** Our manifest has both addresses below one base; Slack lets each be set by itself. */
const besideEvents = (eventsUrl: string): string => eventsUrl.replace(/\/events$/, "/interactive")

const buttonsOf = (message: Json): ReadonlyArray<{ readonly block: string; readonly button: Json }> =>
  objectsOf(message, "blocks").filter((block) => block["type"] === "actions").flatMap((block) =>
    objectsOf(block, "elements").filter((element) => element["type"] === "button")
      .map((button) => ({ block: textOf(block, "block_id") ?? "", button }))
  )

export const makeClicking = (state: WorkspaceState, timeoutMillis: number): Clicking => {
  let ownUrl: string | undefined
  const { installation, sockets, watch } = state

  const overHttp = Effect.fnUntraced(function*(payload: Json): Effect.fn.Return<ClickAnswer> {
    const events = state.events.url()
    const url = ownUrl ?? (events === undefined ? undefined : besideEvents(events))
    if (url === undefined) return { ok: false }
    const body = Buffer.from(new URLSearchParams({ payload: JSON.stringify(payload) }).toString())
    const seconds = Math.floor(state.now() / 1000)
    const agent = new http.Agent({ keepAlive: false })
    return yield* send(agent, {
      url,
      method: "POST",
      headers: {
        "content-type": "application/x-www-form-urlencoded",
        "user-agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
        "x-slack-request-timestamp": String(seconds),
        "x-slack-signature": signature(installation.signingSecret, seconds, body)
      },
      body
    }).pipe(
      Effect.map((reply): ClickAnswer => ({ ok: reply.status === 200, status: reply.status })),
      Effect.orElseSucceed((): ClickAnswer => ({ ok: false })),
      // Not sent again, unlike events: the person has been shown that it failed (assumed; no page speaks of retries).
      Effect.timeoutOrElse({ duration: timeoutMillis, orElse: () => Effect.succeed<ClickAnswer>({ ok: false }) }),
      Effect.ensuring(Effect.sync(() => agent.destroy()))
    )
  })

  const deliver = Effect.fnUntraced(function*(payload: Json): Effect.fn.Return<ClickAnswer> {
    if (!sockets.isOn()) return yield* overHttp(payload)
    const { ok } = yield* sockets.deliver({ type: "interactive", payload, acceptsResponse: true })
    return { ok }
  })

  const payloadOf = (
    channel: Channel,
    person: Member,
    message: Json,
    pressed: { readonly block: string; readonly button: Json }
  ): Json => {
    const ts = textOf(message, "ts") ?? ""
    const threadTs = textOf(message, "thread_ts")
    return {
      type: "block_actions",
      user: { id: person.userId, username: person.name, name: person.name, team_id: person.teamId },
      api_app_id: installation.appId,
      token: installation.verificationToken,
      container: {
        type: "message",
        message_ts: ts,
        channel_id: channel.id,
        is_ephemeral: false,
        ...(threadTs === undefined ? {} : { thread_ts: threadTs })
      },
      trigger_id: `${Math.floor(state.now())}.${slackId("", 12)}`,
      // "The workspace the app is installed on": also where the person is of another one (assumed for Slack Connect).
      team: { id: installation.teamId, domain: state.team.domain },
      enterprise: null,
      is_enterprise_install: false,
      channel: { id: channel.id, name: channel.name },
      message,
      state: { values: {} },
      // Not served: whoever uses it finds nothing there.
      response_url: `${state.team.url}actions/${slackId("", 16)}`,
      actions: [{
        action_id: textOf(pressed.button, "action_id") ?? "",
        block_id: pressed.block,
        text: pressed.button["text"],
        value: textOf(pressed.button, "value") ?? "",
        style: pressed.button["style"] ?? "default",
        type: "button",
        action_ts: eventTs(state)
      }]
    }
  }

  return {
    deliver,
    setUrl: (url) => {
      ownUrl = url
    },
    click: Effect.fnUntraced(function*(order) {
      const channel = state.channels.find(order.channel) ?? state.channels.byName(order.channel)
      if (channel === undefined) return yield* refusal("channel_not_found")
      const person = state.people.find(order.person) ?? state.people.byName(order.person)
      if (person === undefined) return yield* refusal("user_not_found")
      // Who looks into a public channel may click without being in it (assumed).
      if (channel.isPrivate && !channel.members.has(person.userId)) return yield* refusal("channel_not_found")
      const stored = yield* storedMessage(state, channel, order.ts).pipe(
        Effect.mapError((error) => new ClickImpossible({ detail: error.message }))
      )
      const message = shownMessage(state, channel, stored, true)
      const there = buttonsOf(message).filter(({ button }) =>
        order.action === undefined || textOf(button, "action_id") === order.action
      )
      const pressed = order.value === undefined
        ? there.length === 1 ? there[0] : undefined
        : { block: "", button: { action_id: order.action ?? "", value: order.value, text: null } }
      if (pressed === undefined) return yield* refusal("no_such_button")
      const answer = yield* deliver(payloadOf(channel, person, message, pressed))
      watch.tell("interaction", { channel: channel.id, ts: order.ts }, {
        user: person.userId,
        action: textOf(pressed.button, "action_id") ?? "",
        ...answer
      })
      return answer
    })
  }
}
