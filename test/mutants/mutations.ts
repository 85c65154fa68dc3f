/**
 * The mutants of a source file: small changes, each of which some test should notice. The kinds are those of mutation
 * testing's usual tools, and one of Effect's own: a step of a pipe left out.
 */
import type { ESTree } from "vite"
import { parseSync } from "vite"
import type { Node } from "./noise.ts"
import { calleeOf, isDiscard, isLogging, isNode, isProse, isStructural, namesOnly } from "./noise.ts"

/** One change: `replacement` stands for the source from `start` to `end` (UTF-16 offsets, end exclusive). */
export interface Mutant {
  /** Stable between runs as long as the line stays where it is. */
  readonly id: string
  readonly file: string
  /** 1-based. */
  readonly line: number
  readonly kind: string
  readonly start: number
  readonly end: number
  readonly original: string
  readonly replacement: string
  /** Removed statements are put behind a condition, expressions become alternatives. */
  readonly form: "expression" | "statement"
  /** It begins a statement: without semicolons, a bracket there would go on with the line before. */
  readonly leads: boolean
}

const comparisons: Record<string, ReadonlyArray<string>> = {
  "===": ["!=="],
  "!==": ["==="],
  "<": ["<=", ">="],
  "<=": ["<", ">"],
  ">": [">=", "<="],
  ">=": [">", "<"]
}
const arithmetic: Record<string, string> = { "+": "-", "-": "+", "*": "/", "/": "*", "%": "*", "**": "*" }
const assignments: Record<string, string> = { "+=": "-=", "-=": "+=", "*=": "/=", "/=": "*=", "??=": "=" }

/** A call by another name, or by none (`""`: only the receiver stays). */
const methods: Record<string, string> = {
  some: "every",
  every: "some",
  startsWith: "endsWith",
  endsWith: "startsWith",
  min: "max",
  max: "min",
  trim: "",
  trimStart: "",
  trimEnd: "",
  toLowerCase: "",
  toUpperCase: "",
  slice: "",
  filter: "",
  sort: "",
  toSorted: "",
  reverse: "",
  toReversed: "",
  normalize: "",
  replace: "",
  replaceAll: ""
}

/** Small changes to a regular expression's text. */
const regexChanges = (text: string): ReadonlyArray<string> => {
  const found = new Set<string>()
  const replaceAt = (index: number, length: number, by: string) =>
    found.add(text.slice(0, index) + by + text.slice(index + length))
  let inClass = false
  for (let index = 0; index < text.length; index++) {
    const char = text[index] ?? ""
    if (char === "\\") {
      const next = text[index + 1] ?? ""
      if (/[dDwWsSbB]/.test(next)) {
        replaceAt(index + 1, 1, next === next.toLowerCase() ? next.toUpperCase() : next.toLowerCase())
      }
      index++
    } else if (inClass) {
      if (char === "]") inClass = false
    } else if (char === "[") {
      inClass = true
      if (text[index + 1] === "^") replaceAt(index + 1, 1, "")
      else replaceAt(index, 1, "[^")
    } else if (char === "^" || char === "$") {
      replaceAt(index, 1, "")
    } else if (char === "+" || char === "*") {
      replaceAt(index, 1, text[index + 1] === "?" ? "{1}" : "")
      if (text[index + 1] === "?") index++
    } else if (char === "?" && text[index - 1] !== "(") {
      replaceAt(index, 1, "")
    } else if (text.startsWith("(?=", index) || text.startsWith("(?!", index)) {
      replaceAt(index + 2, 1, text[index + 2] === "=" ? "!" : "=")
    } else if (text.startsWith("(?<=", index) || text.startsWith("(?<!", index)) {
      replaceAt(index + 3, 1, text[index + 3] === "=" ? "!" : "=")
    } else if (char === "{") {
      const bounds = /^\{(\d+)(,?)(\d*)\}/.exec(text.slice(index))
      if (bounds !== null) {
        const [whole, low = "", comma = "", high = ""] = bounds
        replaceAt(index, whole.length, `{${Number(low) + 1}${comma}${high === "" ? "" : Number(high) + 1}}`)
      }
    }
  }
  return [...found].filter((changed) => {
    try {
      return new RegExp(changed) instanceof RegExp
    } catch {
      return false
    }
  })
}

/** Every mutant of a file, in the order of the source. */
export const mutantsOf = (file: string, source: string): ReadonlyArray<Mutant> => {
  const parsed = parseSync(file, source, { lang: "ts" })
  if (parsed.errors.length > 0) throw new Error(`${file}: ${parsed.errors[0]?.message}`)
  const lineStarts = [0, ...Array.from(source.matchAll(/\n/g), (match) => match.index + 1)]
  const lineAt = (offset: number): number => lineStarts.findLastIndex((start) => start <= offset) + 1
  const found: Array<Mutant> = []
  const sameNames = new Map<string, number>()
  const statementStarts = new Set<number>()
  const text = (node: Node): string => source.slice(node.start, node.end)
  const between = (left: Node, right: Node): string => source.slice(left.end, right.start)

  const add = (node: Node, kind: string, replacement: string, form: Mutant["form"] = "expression"): void => {
    const original = text(node)
    if (original === replacement) return
    const line = lineAt(node.start)
    const column = node.start - (lineStarts[line - 1] ?? 0) + 1
    const name = `${file}:${line}:${column} ${kind}`
    const same = (sameNames.get(name) ?? 0) + 1
    sameNames.set(name, same)
    const id = same === 1 ? name : `${name} ${same}`
    found.push({
      id,
      file,
      line,
      kind,
      start: node.start,
      end: node.end,
      original,
      replacement,
      form,
      leads: statementStarts.has(node.start)
    })
  }

  const condition = (test: Node): void => {
    if (test.type === "Literal") return
    add(test, "condition", "true")
    add(test, "condition", "false")
  }

  const binary = (node: ESTree.BinaryExpression | ESTree.PrivateInExpression): void => {
    const { left, right, operator } = node
    const isText = [left, right].some((side) =>
      side.type === "TemplateLiteral" || (side.type === "Literal" && typeof side.value === "string")
    )
    for (const other of comparisons[operator] ?? []) {
      add(node, "comparison", text(left) + between(left, right).replace(operator, other) + text(right))
    }
    const other = arithmetic[operator]
    if (other !== undefined && !isText) {
      add(node, "arithmetic", text(left) + between(left, right).replace(operator, other) + text(right))
    }
  }

  const call = (node: ESTree.CallExpression, inChain: boolean): void => {
    if (inChain) return
    const { callee } = node
    if (callee.type !== "MemberExpression" || callee.property.type !== "Identifier") return
    const name = callee.property.name
    if (name === "pipe") {
      node.arguments.forEach((step, index) => {
        if (namesOnly(step)) return
        const rest = node.arguments.filter((_, at) => at !== index).map(text).join(", ")
        add(node, "pipe step", `${text(callee)}(${rest})`)
      })
      return
    }
    const other = Object.hasOwn(methods, name) ? methods[name] : undefined
    if (other === undefined) return
    // `Array.filter(list, f)` and the like are functions of a module, not methods of a value.
    if (callee.object.type === "Identifier" && /^[A-Z]/.test(callee.object.name) && callee.object.name !== "Math") {
      return
    }
    const receiver = text(callee.object)
    add(node, "method", other === "" ? receiver : `${receiver}.${other}${source.slice(callee.end, node.end)}`)
  }

  /** The mutants of one node. `inChain`: it is a link of `a?.b.c`, which brackets would break. */
  const mutate = (node: Node, inChain: boolean): void => {
    switch (node.type) {
      case "IfStatement":
      case "ConditionalExpression":
        condition(node.test)
        break
      case "WhileStatement":
      case "DoWhileStatement":
        add(node.test, "condition", "false")
        break
      case "ForStatement":
        if (node.test !== null) add(node.test, "condition", "false")
        break
      case "BinaryExpression":
        binary(node)
        break
      case "LogicalExpression": {
        const { left, right, operator } = node
        if (operator === "??") add(node, "fallback", text(left))
        else add(node, "logical", `(${text(left)}) ${operator === "&&" ? "||" : "&&"} (${text(right)})`)
        break
      }
      case "AssignmentExpression": {
        const other = assignments[node.operator]
        if (other !== undefined) {
          add(
            node,
            "assignment",
            text(node.left) + between(node.left, node.right).replace(node.operator, other) + text(node.right)
          )
        }
        break
      }
      case "UpdateExpression":
        add(node, "assignment", text(node).replace(node.operator, node.operator === "++" ? "--" : "++"))
        break
      case "UnaryExpression":
        if (node.operator === "!" || node.operator === "-") add(node, "negation", text(node.argument))
        break
      case "Literal":
        if (typeof node.value === "boolean") add(node, "boolean", String(!node.value))
        else if (typeof node.value === "number") add(node, "number", String(node.value + 1))
        else if (typeof node.value === "string") {
          if (node.value === "") add(node, "text", `"mutant"`)
          else if (!isProse(node.value)) add(node, "text", `""`)
        } else if ("regex" in node) {
          for (const changed of regexChanges(node.regex.pattern)) add(node, "regex", `/${changed}/${node.regex.flags}`)
        }
        break
      case "TemplateLiteral":
        if (text(node) === "``") add(node, "text", `"mutant"`)
        else if (!isProse(node.quasis.map((part) => part.value.raw).join(" x "))) add(node, "text", `""`)
        break
      case "TaggedTemplateExpression": {
        const [quasi] = node.quasi.quasis
        if (text(node.tag) === "String.raw" && quasi !== undefined && node.quasi.quasis.length === 1) {
          for (const changed of regexChanges(quasi.value.raw)) add(node, "regex", `String.raw\`${changed}\``)
        }
        break
      }
      case "ArrayExpression":
        if (node.elements.length > 0) add(node, "array", "[]")
        break
      case "ObjectExpression":
        if (node.properties.length > 0) add(node, "object", "{}")
        break
      case "ChainExpression":
        add(node, "optional chain", text(node).replace(/\?\.([[(])?/, (_, open?: string) => open ?? "."))
        break
      case "CallExpression":
        call(node, inChain)
        break
      case "ReturnStatement":
        if (node.argument !== null && text(node.argument) !== "undefined") add(node.argument, "return", "undefined")
        break
      case "ArrowFunctionExpression":
        if (node.expression && !isLogging(node.body)) add(node.body, "return", "undefined")
        break
      case "ExpressionStatement":
        if (!("directive" in node && node.directive !== null)) add(node, "statement", "", "statement")
        break
    }
  }

  const visit = (node: Node, inChain: boolean): void => {
    if (isStructural(node) || isLogging(node) || isDiscard(node)) return
    if (node.type === "ExpressionStatement") statementStarts.add(node.start)
    mutate(node, inChain)
    const callee = node.type === "CallExpression" || node.type === "NewExpression" ? calleeOf(node) : ""
    for (const [key, value] of Object.entries(node)) {
      // Names are no behaviour: keys of properties, types, the tag of a class, a span's name.
      if (key === "key" && !("computed" in node && node.computed)) continue
      if (key === "label" || key === "typeAnnotation" || key === "typeArguments") continue
      if (key === "quasi") {
        for (const expression of (value as ESTree.TemplateLiteral).expressions) visit(expression, false)
        continue
      }
      const linksOn = (node.type === "ChainExpression" && key === "expression")
        || (inChain &&
          (key === "object" || key === "callee" || (key === "expression" && node.type === "TSNonNullExpression")))
      for (const child of Array.isArray(value) ? value : [value]) {
        if (!isNode(child)) continue
        if (key === "arguments" && callee !== "" && namesOnly(child, callee)) continue
        visit(child, linksOn)
      }
    }
  }
  visit(parsed.program, false)
  return found.toSorted((a, b) => a.start - b.start || b.end - a.end)
}
