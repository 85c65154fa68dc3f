/**
 * What the front knows of channels: names, kinds and who is a member. Every change passes through the front, so this
 * saves asking the emulator before each call, and it is the base of the membership rules that the emulator lacks.
 */

/** One conversation, as the front sees it. */
export interface Channel {
  readonly id: string
  name: string
  readonly isPrivate: boolean
  readonly kind: "channel" | "group" | "im" | "mpim"
  isArchived: boolean
  readonly creator: string
  readonly created: number
  readonly members: Set<string>
  /** Teams connected through Slack Connect; empty for an ordinary channel. */
  readonly connectedTeams: Set<string>
}

/** Conversations by id. */
export class Channels {
  readonly #byId = new Map<string, Channel>()

  enter(channel: Channel): Channel {
    this.#byId.set(channel.id, channel)
    return channel
  }

  find(id: string): Channel | undefined {
    return this.#byId.get(id)
  }

  /** `name` or `#name`; direct messages have no name to call them by. */
  byName(name: string): Channel | undefined {
    const plain = name.startsWith("#") ? name.slice(1) : name
    for (const channel of this.#byId.values()) {
      if (channel.name === plain && (channel.kind === "channel" || channel.kind === "group")) return channel
    }
    return undefined
  }

  all(): ReadonlyArray<Channel> {
    return [...this.#byId.values()]
  }
}
