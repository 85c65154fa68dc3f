/**
 * Slack's rules for blocks. The emulator stores anything; Slack refuses the whole message with `invalid_blocks` and
 * says where, which is how whole replies were lost in practice (seen in a system that posted tables).
 */
import * as Effect from "effect/Effect"
import { blockId } from "./Identifiers.ts"
import { isJson, type Json, objectOf, objectsOf, parseJson, textOf } from "./Json.ts"
import { characters } from "./Text.ts"
import { explained, refusal, type SlackRefusal } from "./WorkspaceError.ts"

/** Source: docs.slack.dev/reference/block-kit/blocks ("up to 50 blocks in each message"). */
const maxBlocks = 50
/** Source: docs.slack.dev/reference/block-kit/blocks/section-block */
const maxSectionText = 3_000
const maxFields = 10
const maxFieldText = 2_000
/** Source: docs.slack.dev/reference/block-kit/blocks/header-block */
const maxHeaderText = 150
/** Source: docs.slack.dev/reference/block-kit/blocks/context-block */
const maxContextElements = 10
/** Source: docs.slack.dev/reference/block-kit/blocks/actions-block */
const maxActions = 25
/** All markdown blocks of a payload together. Source: docs.slack.dev/reference/block-kit/blocks/markdown-block */
export const maxMarkdownCharacters = 12_000
/** Source: docs.slack.dev/reference/block-kit/blocks/table-block; the total was found by losing replies. */
const maxTableRows = 100
const maxTableColumns = 20
const maxTableCharacters = 10_000
/** Source: docs.slack.dev/reference/block-kit/blocks ("Maximum length for this field is 255 characters"). */
const maxBlockId = 255

const known = new Set([
  "actions",
  "alert",
  "call",
  "card",
  "carousel",
  "context",
  "context_actions",
  "data_table",
  "divider",
  "file",
  "header",
  "image",
  "input",
  "markdown",
  "plan",
  "rich_text",
  "section",
  "table",
  "task_card",
  "video"
])

const at = (pointer: string, problem: string): string => `${problem} [json-pointer:${pointer}]`

const tooLong = (pointer: string, text: string | undefined, max: number): ReadonlyArray<string> =>
  text !== undefined && characters(text) > max ? [at(pointer, `must be less than ${max + 1} characters`)] : []

const textObject = (pointer: string, value: Json, max: number): ReadonlyArray<string> => {
  const text = textOf(value, "text")
  if (text === undefined || text === "") return [at(`${pointer}/text`, "must be more than 0 characters")]
  const type = textOf(value, "type")
  if (type !== "mrkdwn" && type !== "plain_text") return [at(`${pointer}/type`, `unsupported type: ${type}`)]
  return tooLong(`${pointer}/text`, text, max)
}

const section = (pointer: string, block: Json): ReadonlyArray<string> => {
  const fields = objectsOf(block, "fields")
  if (!isJson(block["text"]) && fields.length === 0) return [at(pointer, "missing required field: text or fields")]
  return [
    ...(isJson(block["text"]) ? textObject(`${pointer}/text`, block["text"], maxSectionText) : []),
    ...(fields.length > maxFields ? [at(`${pointer}/fields`, `no more than ${maxFields} items allowed`)] : []),
    ...fields.flatMap((field, index) => textObject(`${pointer}/fields/${index}`, field, maxFieldText))
  ]
}

const cellText = (cell: Json): string => textOf(cell, "text") ?? objectsOf(cell, "elements").map(cellText).join("")

const table = (pointer: string, block: Json): ReadonlyArray<string> => {
  const rows = block["rows"]
  if (!Array.isArray(rows) || rows.length === 0) return [at(`${pointer}/rows`, "missing required field: rows")]
  const problems: Array<string> = []
  if (rows.length > maxTableRows) problems.push(at(`${pointer}/rows`, `no more than ${maxTableRows} items allowed`))
  let total = 0
  for (const [rowIndex, row] of rows.entries()) {
    const cells: ReadonlyArray<unknown> = Array.isArray(row) ? row : []
    if (cells.length > maxTableColumns) {
      problems.push(at(`${pointer}/rows/${rowIndex}`, `no more than ${maxTableColumns} items allowed`))
    }
    for (const [cellIndex, cell] of cells.entries()) {
      const place = `${pointer}/rows/${rowIndex}/${cellIndex}`
      const type = isJson(cell) ? textOf(cell, "type") : undefined
      if (!isJson(cell) || (type !== "raw_text" && type !== "rich_text")) {
        problems.push(at(`${place}/type`, `unsupported type: ${type}`))
        continue
      }
      const text = cellText(cell)
      if (text === "") problems.push(at(`${place}/text`, "must be more than 0 characters"))
      total += characters(text)
    }
  }
  if (total > maxTableCharacters) problems.push(at(pointer, `must be less than ${maxTableCharacters + 1} characters`))
  return problems
}

const counted = (pointer: string, block: Json, max: number): ReadonlyArray<string> => {
  const elements = objectsOf(block, "elements")
  if (elements.length === 0) return [at(`${pointer}/elements`, "missing required field: elements")]
  return elements.length > max ? [at(`${pointer}/elements`, `no more than ${max} items allowed`)] : []
}

const problemsOf = (block: Json, index: number): ReadonlyArray<string> => {
  const pointer = `/blocks/${index}`
  const type = textOf(block, "type")
  if (type === undefined || !known.has(type)) return [at(`${pointer}/type`, `unsupported type: ${type}`)]
  const id = tooLong(`${pointer}/block_id`, textOf(block, "block_id"), maxBlockId)
  if (type === "section") return [...id, ...section(pointer, block)]
  if (type === "header") return [...id, ...textObject(`${pointer}/text`, objectOf(block, "text"), maxHeaderText)]
  if (type === "context") return [...id, ...counted(pointer, block, maxContextElements)]
  if (type === "actions") return [...id, ...counted(pointer, block, maxActions)]
  if (type === "rich_text") return [...id, ...counted(pointer, block, Number.MAX_SAFE_INTEGER)]
  if (type === "table") return [...id, ...table(pointer, block)]
  if (type === "image" && (textOf(block, "alt_text") ?? "") === "") {
    return [...id, at(pointer, "missing required field: alt_text")]
  }
  if (type === "markdown" && textOf(block, "text") === undefined) {
    return [...id, at(pointer, "missing required field: text")]
  }
  return id
}

/**
 * Reads and checks the `blocks` argument (a list, or its JSON as text); blocks without an id get one, as in Slack.
 * `undefined` when the argument is missing or empty.
 */
export const checkBlocks = Effect.fnUntraced(
  function*(argument: unknown): Effect.fn.Return<ReadonlyArray<Json> | undefined, SlackRefusal> {
    if (argument === undefined || argument === null || argument === "") return undefined
    const value = typeof argument === "string" ? parseJson(argument) : argument
    if (!Array.isArray(value)) return yield* refusal("invalid_blocks_format")
    const blocks = value.filter(isJson)
    if (blocks.length !== value.length) return yield* refusal("invalid_blocks_format")
    if (blocks.length > maxBlocks) {
      return yield* explained("invalid_blocks", [at("/blocks", `no more than ${maxBlocks} items allowed`)])
    }
    const problems = blocks.flatMap(problemsOf)
    if (problems.length > 0) return yield* explained("invalid_blocks", problems)
    const ids = blocks.flatMap((block) => textOf(block, "block_id") ?? [])
    if (new Set(ids).size !== ids.length) {
      return yield* explained("invalid_blocks", [at("/blocks", "block_id already exists")])
    }
    // One table a message, and the error has another name.
    if (blocks.filter((block) => block["type"] === "table").length > 1) {
      return yield* explained("invalid_attachments", [at("/blocks", "only_one_table_allowed")])
    }
    const markdown = blocks.reduce(
      (sum, block) => sum + (block["type"] === "markdown" ? characters(textOf(block, "text") ?? "") : 0),
      0
    )
    if (markdown > maxMarkdownCharacters) {
      return yield* explained("invalid_blocks", [
        at("/blocks", `markdown text must be less than ${maxMarkdownCharacters + 1} characters`)
      ])
    }
    return blocks.map((block) => textOf(block, "block_id") === undefined ? { ...block, block_id: blockId() } : block)
  }
)
