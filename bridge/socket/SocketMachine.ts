/**
 * When to open, ping and give up connections of Socket Mode, decided from what happened and the time alone. One
 * connection, two while one takes the place of the other; never none on purpose.
 */
import { type Backoff, pauseAfter } from "../../runtime/ports/Backoff.ts"
import type { SocketTrouble } from "./SocketErrors.ts"

/** Milliseconds without a sign of life after which a connection is dead; half-open ones are closed by nobody else. */
export const deadMillis = 45_000
/** Between two pings of ours. */
export const pingMillis = 15_000
/** From the question for a URL to the hello. */
export const openingMillis = 20_000
/** A connection is replaced when it has used this share of the life that its hello announced. */
const lifeShare = 0.8
/**
 * How long a replaced connection still listens, when Slack does not close it: it may have envelopes on their way, and
 * Slack's warning comes 10 s before its end.
 */
export const lingerMillis = 15_000
/** A connection that ends sooner than this was no success. */
const youngMillis = 10_000
/** `apps.connections.open` never more often, whatever happens. */
const spacingMillis = 1_000
const backOff: Backoff = { firstMillis: 1_000, longestMillis: 60_000 }
/** Places among the ten come free only when other programs end. */
const crowdedBackOff: Backoff = { firstMillis: 30_000, longestMillis: 600_000 }
/** What only a person can repair is looked at this rarely, and at once when the token changes. */
export const stoppedMillis = 600_000
/** Between two looks at the stored token while that is what is wrong. */
export const tokenLookMillis = 30_000

export interface Link {
  readonly id: number
  readonly state: "opening" | "open" | "lingering"
  /** When it came into this state. */
  readonly since: number
  readonly heardAt: number
  readonly pingedAt: number
  /** When it is to be replaced; undefined where the hello announced no life. */
  readonly renewAt: number | undefined
}

export interface Ending {
  /** Slack's own reason for a disconnect, or ours. */
  readonly reason: string
  readonly at: number
}

export interface SocketMachine {
  readonly links: ReadonlyArray<Link>
  readonly lastId: number
  /** Tries in a row that led to nothing that lasts. */
  readonly failures: number
  /** No connection is asked for before this. */
  readonly tryAt: number
  /** When the last one was asked for. */
  readonly askedAt: number
  readonly trouble: { readonly kind: SocketTrouble; readonly since: number; readonly detail: string } | undefined
  /** Only a person can repair it. */
  readonly stopped: boolean
  readonly lookAt: number
  /** Since when nothing could be heard; undefined while a connection is open. */
  readonly deafSince: number | undefined
  readonly lastEnding: Ending | undefined
  readonly lastFrameAt: number | undefined
}

export type Input =
  | { readonly _tag: "Tick" }
  /** The hello has come; `lifeMillis` is what it announced. */
  | { readonly _tag: "Hello"; readonly link: number; readonly lifeMillis: number | undefined }
  /** Anything at all came over it. */
  | { readonly _tag: "Heard"; readonly link: number }
  /** A disconnect frame, with Slack's reason. */
  | { readonly _tag: "Told"; readonly link: number; readonly reason: string }
  | { readonly _tag: "Closed"; readonly link: number }
  /** It never came to a hello. `retryAfterMillis`: as Slack asks. */
  | {
    readonly _tag: "NotOpened"
    readonly link: number
    readonly kind: SocketTrouble
    readonly detail: string
    readonly retryAfterMillis?: number
  }
  /** Another app token is stored than the one that was refused. */
  | { readonly _tag: "Renewed" }

export type Command =
  | { readonly _tag: "Open"; readonly link: number }
  | { readonly _tag: "Ping"; readonly link: number }
  /** With the closing handshake. */
  | { readonly _tag: "Close"; readonly link: number }
  /** Without a word: nobody listens there. */
  | { readonly _tag: "Cut"; readonly link: number }
  /** Something may have been missed, between these times. */
  | { readonly _tag: "Missed"; readonly from: number; readonly to: number }
  /** Is another app token stored? */
  | { readonly _tag: "LookAtToken" }

export const initial = (now: number): SocketMachine => ({
  links: [],
  lastId: 0,
  failures: 0,
  tryAt: now,
  askedAt: Number.NEGATIVE_INFINITY,
  trouble: undefined,
  stopped: false,
  lookAt: Number.POSITIVE_INFINITY,
  deafSince: now,
  lastEnding: undefined,
  lastFrameAt: undefined
})

/** What stays as it is until a person acts. */
const final: ReadonlySet<SocketTrouble> = new Set(["link_disabled", "auth", "no_app_token", "wrong_app"])

/** Half of the time is chance, so that many clients that fell together do not come back together. */
const delayOf = (failures: number, random: number, backoff: Backoff): number =>
  pauseAfter(backoff, failures) * (0.5 + random / 2)

const linkOf = (machine: SocketMachine, id: number): Link | undefined => machine.links.find((link) => link.id === id)
const without = (machine: SocketMachine, id: number): SocketMachine => ({
  ...machine,
  links: machine.links.filter((link) => link.id !== id)
})
const replaced = (machine: SocketMachine, next: Link): SocketMachine => ({
  ...machine,
  links: machine.links.map((link) => link.id === next.id ? next : link)
})

/** It can be heard. */
const isOpen = (link: Link): boolean => link.state !== "opening"

/** Starts the time in which nothing is heard, where this was the last connection. */
const perhapsDeaf = (machine: SocketMachine, since: number): SocketMachine =>
  machine.deafSince !== undefined || machine.links.some(isOpen) ? machine : { ...machine, deafSince: since }

const nextTry = ({ askedAt, tryAt }: SocketMachine): number => Math.max(tryAt, askedAt + spacingMillis)

/** One more try that led to nothing; the next one waits. */
const failed = (
  machine: SocketMachine,
  now: number,
  random: number,
  kind: SocketTrouble,
  detail: string,
  retryAfterMillis = 0
): SocketMachine => {
  const failures = machine.failures + 1
  const stopped = final.has(kind)
  const wait = stopped
    ? stoppedMillis
    : Math.max(retryAfterMillis, delayOf(failures, random, kind === "too_many_websockets" ? crowdedBackOff : backOff))
  return {
    ...machine,
    failures,
    stopped,
    tryAt: Math.max(nextTry(machine), now + wait),
    lookAt: stopped ? now + tokenLookMillis : Number.POSITIVE_INFINITY,
    trouble: machine.trouble?.kind === kind
      ? { ...machine.trouble, detail }
      : { kind, since: now, detail },
    lastEnding: { reason: kind, at: now }
  }
}

/** A connection is over that nobody had asked to end. */
const broken = (
  machine: SocketMachine,
  link: Link,
  now: number,
  random: number,
  kind: "dropped" | "silent"
): SocketMachine => {
  const rest = perhapsDeaf(without(machine, link.id), kind === "silent" ? link.heardAt : now)
  // One that lasted is opened again at once; one that did not is a failure like one that never came.
  if (now - link.since < youngMillis) return failed(rest, now, random, kind, "")
  return { ...rest, lastEnding: { reason: kind, at: now } }
}

const told = (machine: SocketMachine, link: Link, reason: string, now: number, random: number): SocketMachine => {
  if (reason === "link_disabled" || reason === "too_many_websockets") {
    return failed(perhapsDeaf(without(machine, link.id), now), now, random, reason, "")
  }
  // Whatever else Slack may say: it wants this connection to be replaced.
  if (link.state === "opening") return failed(without(machine, link.id), now, random, "refused", reason)
  const asked = { ...machine, lastEnding: { reason, at: now } }
  const young = now - link.since < youngMillis && link.renewAt !== Number.NEGATIVE_INFINITY
  const next = replaced(asked, { ...link, renewAt: Number.NEGATIVE_INFINITY })
  return young
    ? { ...next, failures: next.failures + 1, tryAt: now + delayOf(next.failures + 1, random, backOff) }
    : next
}

const taken = (
  machine: SocketMachine,
  input: Input,
  now: number,
  random: number,
  commands: Array<Command>
): SocketMachine => {
  if (input._tag === "Tick") return machine
  if (input._tag === "Renewed") {
    return machine.stopped
      ? { ...machine, stopped: false, failures: 0, tryAt: now, lookAt: Number.POSITIVE_INFINITY }
      : machine
  }
  const link = linkOf(machine, input.link)
  if (link === undefined) return machine
  switch (input._tag) {
    case "Heard":
      return { ...replaced(machine, { ...link, heardAt: now }), lastFrameAt: now }
    case "Hello": {
      if (link.state !== "opening") return machine
      if (machine.deafSince !== undefined) commands.push({ _tag: "Missed", from: machine.deafSince, to: now })
      const renewAt = input.lifeMillis === undefined ? undefined : now + input.lifeMillis * lifeShare
      const links = machine.links.map((one): Link => {
        if (one.id === link.id) return { ...one, state: "open", since: now, heardAt: now, pingedAt: now, renewAt }
        return one.state === "open" ? { ...one, state: "lingering", since: now } : one
      })
      return {
        ...machine,
        links,
        deafSince: undefined,
        stopped: false,
        lookAt: Number.POSITIVE_INFINITY,
        lastFrameAt: now
      }
    }
    case "Told":
      if (input.reason === "link_disabled" || input.reason === "too_many_websockets" || link.state === "opening") {
        commands.push({ _tag: "Close", link: link.id })
      }
      return told({ ...machine, lastFrameAt: now }, link, input.reason, now, random)
    case "Closed": {
      if (link.state === "opening") {
        return failed(without(machine, link.id), now, random, "unreachable", "closed without a hello")
      }
      if (link.state === "lingering") commands.push(leftBehind(now))
      const expected = link.state === "lingering" || link.renewAt === Number.NEGATIVE_INFINITY
      return expected
        ? perhapsDeaf(without(machine, link.id), now)
        : broken(machine, link, now, random, "dropped")
    }
    case "NotOpened":
      return failed(without(machine, link.id), now, random, input.kind, input.detail, input.retryAfterMillis)
  }
}

const isLeaving = (link: Link, now: number): boolean => link.renewAt !== undefined && now >= link.renewAt

const isTroubled = (machine: SocketMachine): boolean => machine.failures > 0 || machine.trouble !== undefined

/** A connection that had been replaced is gone: what Slack may have sent on it meanwhile is not repeated for certain. */
const leftBehind = (now: number): Command => ({ _tag: "Missed", from: now, to: now })

/** What the time asks of each connection. */
const aged = (machine: SocketMachine, now: number, random: number, commands: Array<Command>): SocketMachine =>
  machine.links.reduce((current, link) => {
    if (link.state === "opening") {
      if (now - link.since < openingMillis) return current
      commands.push({ _tag: "Cut", link: link.id })
      return failed(without(current, link.id), now, random, "unreachable", "no hello in time")
    }
    if (now - link.heardAt >= deadMillis) {
      commands.push({ _tag: "Cut", link: link.id })
      if (link.state === "lingering") commands.push(leftBehind(now))
      return link.state === "lingering"
        ? perhapsDeaf(without(current, link.id), link.heardAt)
        : broken(current, link, now, random, "silent")
    }
    if (link.state === "lingering" && now - link.since >= lingerMillis) {
      commands.push({ _tag: "Close", link: link.id }, leftBehind(now))
      return perhapsDeaf(without(current, link.id), now)
    }
    // One that is to go proves nothing about the tries to replace it.
    const lasting = link.state === "open" && now - link.since >= youngMillis && isTroubled(current)
      && !isLeaving(link, now)
    const steady = lasting ? { ...current, failures: 0, trouble: undefined } : current
    if (now - link.pingedAt < pingMillis) return steady
    commands.push({ _tag: "Ping", link: link.id })
    return replaced(steady, { ...link, pingedAt: now })
  }, machine)

/** Opens a connection where none is open that may stay. */
const opened = (machine: SocketMachine, now: number, commands: Array<Command>): SocketMachine => {
  const enough = machine.links.some((link) =>
    link.state === "opening" || (link.state === "open" && !isLeaving(link, now))
  )
  if (enough || now < nextTry(machine)) return machine
  // Never a third: what lingered has had its time.
  const old = machine.links.filter((link) => link.state === "lingering")
  for (const link of old) commands.push({ _tag: "Close", link: link.id }, leftBehind(now))
  const id = machine.lastId + 1
  commands.push({ _tag: "Open", link: id })
  const link: Link = { id, state: "opening", since: now, heardAt: now, pingedAt: now, renewAt: undefined }
  return {
    ...machine,
    lastId: id,
    askedAt: now,
    links: [...machine.links.filter(({ state }) => state !== "lingering"), link]
  }
}

/** What happens next, and what is to be done now. `random` is from 0 up to 1. */
export const step = (
  machine: SocketMachine,
  input: Input,
  now: number,
  random: number
): { readonly machine: SocketMachine; readonly commands: ReadonlyArray<Command> } => {
  const commands: Array<Command> = []
  let next = aged(taken(machine, input, now, random, commands), now, random, commands)
  if (now >= next.lookAt) {
    commands.push({ _tag: "LookAtToken" })
    next = { ...next, lookAt: now + tokenLookMillis }
  }
  return { machine: opened(next, now, commands), commands }
}

/** When the time alone will ask for something; in the past means now. */
export const wakeAt = (machine: SocketMachine, now: number): number => {
  const times = machine.links.flatMap((link) =>
    link.state === "opening" ? [link.since + openingMillis] : [
      link.heardAt + deadMillis,
      link.pingedAt + pingMillis,
      ...(link.state === "lingering" ? [link.since + lingerMillis] : []),
      ...(isTroubled(machine) && link.state === "open" && !isLeaving(link, now)
        ? [Math.max(now, link.since + youngMillis)]
        : []),
      ...(link.renewAt !== undefined && link.renewAt > now ? [link.renewAt] : [])
    ]
  )
  const wants = !machine.links.some((link) =>
    link.state === "opening" || (link.state === "open" && !isLeaving(link, now))
  )
  return Math.min(...times, machine.lookAt, wants ? nextTry(machine) : Number.POSITIVE_INFINITY)
}
