/**
 * The journal of an install: who did what, by which rule it was judged, when. Append-only, one hash chain per writing
 * process. Written before the effect it speaks of: whoever cannot write it down does not do it.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import {
  type AuditEntry,
  type AuditLink,
  type BrokenChain,
  type ChainHead,
  ChainName,
  cutOff,
  emptyHead,
  headOf,
  readLink,
  swapped
} from "../domain/install/Audit.ts"
import { InstallStore } from "./InstallStore.ts"
import type { StoreError } from "./StoreError.ts"

/** What is recorded; the time is the writer's own. Texts of others are put on one line. */
export type AuditRecord = Omit<AuditEntry, "at">

/** The kinds of process that write. */
export type AuditWriter = "operator" | "control" | "bridge" | "runtime"

/** A reader that follows looks again after this long, whatever it was told. */
export const lookAgain = Duration.seconds(5)

export class Audit extends Context.Service<Audit, {
  /**
   * Durable once it succeeds: for refusals, consents, and changes of keys or policy, before they have an effect. Writers
   * of one moment share one sync.
   */
  readonly record: (entry: AuditRecord) => Effect.Effect<void, StoreError>
  /** For what was allowed: returns at once, durable within a second. A failure is logged. */
  readonly note: (entry: AuditRecord) => Effect.Effect<void>
  /** Of every process that ever wrote, sorted. */
  readonly chains: Effect.Effect<ReadonlyArray<ChainName>, StoreError>
  /** The stored lines of a chain after its first `count`, unchecked; empty for a chain that is not there. */
  readonly lines: (chain: ChainName, count: number) => Stream.Stream<string, StoreError>
  /** Completes when something may have been appended by any process, at the latest after 5 s. */
  readonly appended: Effect.Effect<void>
}>()("km/runtime/ports/Audit") {}

/** The verdict on the whole journal. */
export interface AuditState {
  readonly chains: number
  /** Links that hold, of all chains. */
  readonly links: number
  /** The first thing wrong with each chain that is not whole. */
  readonly broken: ReadonlyArray<BrokenChain>
}

/** Reads a chain until its end or the first line that is wrong. */
const verifyChain = (chain: ChainName, kept: ChainHead | undefined) =>
  Effect.gen(function*() {
    const audit = yield* Audit
    let head = emptyHead(chain)
    let broken: BrokenChain | undefined
    yield* Stream.runForEachWhile(audit.lines(chain, 0), (line) =>
      Effect.sync(() => {
        const read = readLink(head, line)
        if (Result.isFailure(read)) broken = read.failure
        else {
          broken = kept === undefined ? undefined : swapped(read.success, kept)
          if (broken === undefined) head = headOf(read.success)
        }
        return broken === undefined
      }))
    return { head, broken: broken ?? (kept === undefined ? undefined : cutOff(head, kept)) }
  })

/** Reads every chain and compares it with the heads that the install keeps. */
export const verifyAudit: Effect.Effect<AuditState, StoreError, Audit | InstallStore> = Effect.gen(function*() {
  const audit = yield* Audit
  // The heads first: a chain that grows meanwhile is longer than its head, never shorter.
  const heads = new Map((yield* (yield* InstallStore).heads).map((head) => [head.chain, head]))
  const chains = [...new Set([...yield* audit.chains, ...heads.keys()])].toSorted()
  const read = yield* Effect.forEach(chains, (chain) => verifyChain(chain, heads.get(chain)))
  return {
    chains: chains.length,
    links: read.reduce((sum, { head }) => sum + head.length, 0),
    broken: read.flatMap(({ broken }) => broken === undefined ? [] : [broken])
  }
})

/**
 * Every entry by time, and with `follow` those to come as they are written, until interrupted. What follows a broken
 * line is left out: `verifyAudit` names the line.
 */
export const auditEntries = (follow: boolean): Stream.Stream<AuditLink, StoreError, Audit> =>
  Stream.unwrap(Effect.map(Audit, (audit) => {
    const heads = new Map<ChainName, ChainHead>()
    const freshOf = Effect.fnUntraced(function*(chain: ChainName) {
      const links: Array<AuditLink> = []
      let head = heads.get(chain) ?? emptyHead(chain)
      yield* Stream.runForEachWhile(audit.lines(chain, head.length), (line) =>
        Effect.sync(() => {
          const read = readLink(head, line)
          if (Result.isFailure(read)) return false
          links.push(read.success)
          head = headOf(read.success)
          return true
        }))
      heads.set(chain, head)
      return links
    })
    const fresh = audit.chains.pipe(
      Effect.flatMap((chains) => Effect.forEach(chains, freshOf)),
      Effect.map((found) => found.flat().toSorted((a, b) => a.entry.at - b.entry.at))
    )
    const first = Stream.fromIterableEffect(fresh)
    return follow
      ? Stream.concat(first, Stream.fromIterableEffectRepeat(Effect.andThen(audit.appended, fresh)))
      : first
  }))
