/** Which mutants a run tries: a seeded sample, spread over areas and, inside them, over files and lines. */
import { readFileSync } from "node:fs"
import * as path from "node:path"
import { areas, filesOf, root } from "./areas.ts"
import type { Numbered } from "./instrument.ts"
import type { Mutant } from "./mutations.ts"
import { mutantsOf } from "./mutations.ts"

/** Mutants of a run without `FULL`. */
export const sampleSize = 480

/** The least part of the sample that an area gets, so that a small one says something too. */
export const areaMinimum = 60

export const defaultSeed = 20261201

/** Mulberry32: numbers in [0, 1), the same for the same seed on every machine. */
export const seeded = (seed: number): () => number => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** One of each of `count` equal stretches of the list, at a random place in it. */
export const spread = <A>(list: ReadonlyArray<A>, count: number, random: () => number): ReadonlyArray<A> => {
  if (count >= list.length) return list
  return Array.from({ length: count }, (_, index) => {
    const low = Math.floor(index * list.length / count)
    const high = Math.floor((index + 1) * list.length / count)
    return list[low + Math.floor(random() * (high - low))]
  }).flatMap((each) => each === undefined ? [] : [each])
}

/** How many of an area's mutants are tried: in proportion, but at least `areaMinimum` where there are so many. */
export const shares = (sizes: ReadonlyArray<number>, total: number): ReadonlyArray<number> => {
  const floors = sizes.map((size) => Math.min(size, areaMinimum))
  const left = Math.max(0, total - floors.reduce((sum, each) => sum + each, 0))
  const rest = sizes.map((size, index) => size - (floors[index] ?? 0))
  const all = rest.reduce((sum, each) => sum + each, 0)
  return floors.map((floor, index) =>
    floor + (all === 0 ? 0 : Math.min(rest[index] ?? 0, Math.round(left * (rest[index] ?? 0) / all)))
  )
}

export interface Choice {
  readonly seed: number
  /** Every mutant instead of a sample. */
  readonly full: boolean
  /** Only what lies below this path: the same mutants of it that the whole sample has. */
  readonly below: string | undefined
}

export interface Sample {
  /** Mutants there are, by area. */
  readonly sizes: Readonly<Record<string, number>>
  readonly chosen: ReadonlyArray<Numbered & { readonly area: string }>
}

const known = new Map<string, ReadonlyArray<Mutant>>()

const mutantsOfArea = (area: string): ReadonlyArray<Mutant> => {
  const mutants = known.get(area)
    ?? filesOf(area).flatMap((file) => mutantsOf(file, readFileSync(path.join(root, file), "utf8")))
  known.set(area, mutants)
  return mutants
}

export const choose = (choice: Choice): Sample => {
  const random = seeded(choice.seed)
  const all = areas.map(mutantsOfArea)
  const counts = shares(all.map((mutants) => mutants.length), sampleSize)
  const chosen = all.flatMap((mutants, index) =>
    (choice.full ? mutants : spread(mutants, counts[index] ?? 0, random))
      .map((mutant) => ({ ...mutant, area: areas[index] ?? "" }))
  )
  const { below } = choice
  return {
    sizes: Object.fromEntries(areas.map((area, index) => [area, all[index]?.length ?? 0])),
    chosen: chosen
      .filter((mutant) =>
        below === undefined || `${mutant.file}/`.startsWith(below.endsWith("/") ? below : `${below}/`) ||
        mutant.area === below
      )
      .map((mutant, number) => ({ ...mutant, number }))
  }
}
