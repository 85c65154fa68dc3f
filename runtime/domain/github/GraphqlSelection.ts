/** What a selection reads, followed through aliases and fragments to the last field. */
import { Kind, type SelectionSetNode } from "graphql/language"
import { denied, shown } from "./Denials.ts"
import type { Denied } from "./GitHubPolicy.ts"
import { type GraphqlRequest, maxFields } from "./GraphqlDocument.ts"
import { conditionOf, fieldOf, type Standing } from "./GraphqlTypes.ts"

/** Kept while one request is walked through. */
export interface Walk {
  readonly request: GraphqlRequest
  /** Fragments that the operation uses. */
  readonly used: Set<string>
  /** Fields that were looked at; a fragment counts wherever it stands. */
  fields: number
}

export const startWalk = (request: GraphqlRequest): Walk => ({ request, used: new Set(), fields: 0 })

/** A field of a selection, with the fragments around it taken away. */
export interface FlatField {
  readonly name: string
  /** The type of the innermost `... on Type` around it, within this selection. */
  readonly conditions: ReadonlyArray<string>
  readonly node: Extract<SelectionSetNode["selections"][number], { readonly kind: typeof Kind.FIELD }>
}

/** The fields of a selection in order; a refusal where fragments are not there, go in circles, or stand for too much. */
export const flatFields = (
  walk: Walk,
  selections: SelectionSetNode,
  conditions: ReadonlyArray<string> = [],
  within: ReadonlyArray<string> = []
): ReadonlyArray<FlatField> | Denied => {
  const found: Array<FlatField> = []
  for (const selection of selections.selections) {
    if (++walk.fields > maxFields) {
      return denied("graphql.limit", `the document asks for more than ${maxFields} fields`)
    }
    if (selection.kind === Kind.FIELD) {
      found.push({ name: selection.name.value, conditions, node: selection })
      continue
    }
    const spread = selection.kind === Kind.FRAGMENT_SPREAD ? selection.name.value : undefined
    const fragment = spread === undefined ? undefined : walk.request.fragments.get(spread)
    if (spread !== undefined && (fragment === undefined || within.includes(spread))) {
      return denied("graphql.malformed", `the fragment ${shown(spread)} is not defined, or uses itself`)
    }
    if (spread !== undefined) walk.used.add(spread)
    const inner = fragment ?? (selection.kind === Kind.INLINE_FRAGMENT ? selection : undefined)
    if (inner === undefined) return denied("graphql.malformed", "a selection is not known")
    const type = inner.typeCondition?.name.value
    const next = flatFields(
      walk,
      inner.selectionSet,
      type === undefined ? conditions : [...conditions, type],
      spread === undefined ? within : [...within, spread]
    )
    if (isDenied(next)) return next
    found.push(...next)
  }
  return found
}

export const isDenied = <A>(value: A | Denied): value is Denied =>
  typeof value === "object" && value !== null && "_tag" in value && value._tag === "Denied"

const refusedField = (standing: Standing, name: string): Denied =>
  denied(
    "graphql.field",
    standing === "identity"
      ? `${shown(name)} is asked of something that may not be of this sandbox's repositories`
      : `${shown(`${standing.open}.${name}`)} is a field that is not open`
  )

/** Why something in the selection may not be read; `atRoot` where the thing itself is known to be of an allowed repository. */
export const refusedSelection = (
  walk: Walk,
  selections: SelectionSetNode,
  standing: Standing,
  atRoot: boolean
): Denied | undefined => {
  const fields = flatFields(walk, selections)
  if (isDenied(fields)) return fields
  for (const { conditions, name, node } of fields) {
    const here = conditions.reduce<Standing>((where, type) => conditionOf(where, type, atRoot), standing)
    const leads = fieldOf(here, name)
    if (leads === undefined) return refusedField(here, name)
    if (leads === "leaf") {
      if (node.selectionSet !== undefined) return refusedField(here, name)
      continue
    }
    if (node.selectionSet === undefined) return refusedField(here, name)
    const refused = refusedSelection(walk, node.selectionSet, leads, false)
    if (refused !== undefined) return refused
  }
  return undefined
}
