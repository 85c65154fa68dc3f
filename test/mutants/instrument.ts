/** All chosen mutants of a file in one copy of it: which one is active is asked at run time. */
import type { Mutant } from "./mutations.ts"

/** In a test's process: counts a visit, and says whether this mutant is the active one. Defined by `setup.ts`. */
export const switchName = "__kmMutant"

/** A mutant's place in the list of the run. */
export type Numbered = Mutant & { readonly number: number }

interface Place {
  readonly start: number
  readonly end: number
  readonly form: Mutant["form"]
  readonly mutants: Array<Numbered>
}

/** The source with a switch at each mutant's place. An alternative is the bare source: only one mutant is ever active. */
export const instrument = (source: string, mutants: ReadonlyArray<Numbered>): string => {
  const places = new Map<string, Place>()
  for (const mutant of mutants) {
    const key = `${mutant.start}-${mutant.end}-${mutant.form}`
    const place = places.get(key) ?? { start: mutant.start, end: mutant.end, form: mutant.form, mutants: [] }
    place.mutants.push(mutant)
    places.set(key, place)
  }
  // Outer places first; of one range, the statement holds the expression.
  const sorted = [...places.values()].toSorted((a, b) =>
    a.start - b.start || b.end - a.end || (a.form === "statement" ? -1 : 1)
  )

  /** Writes the source from `start` to `end`, with the places from index `at` that lie in it. */
  const write = (start: number, end: number, at: number): string => {
    let output = ""
    let offset = start
    let index = at
    while (index < sorted.length) {
      const place = sorted[index]
      if (place === undefined || place.start >= end) break
      if (place.start < offset) {
        index++
        continue
      }
      output += source.slice(offset, place.start)
      const inner = write(place.start, place.end, index + 1)
      const active = (mutant: Numbered) => `globalThis.${switchName}(${mutant.number})`
      output += place.form === "statement"
        ? `{ if (${place.mutants.map((mutant) => `!${active(mutant)}`).join(" && ")}) { ${inner} } }`
        : `${place.mutants[0]?.leads ? "0, " : ""}(${
          place.mutants.map((mutant) => `${active(mutant)} ? (${mutant.replacement}) : `).join("")
        }(${inner}))`
      offset = place.end
      index++
    }
    return output + source.slice(offset, end)
  }
  return write(0, source.length, 0)
}
