/**
 * What the scripted model says: a pure function from a Messages API request to a plan. It reads no meaning into what a
 * person writes; it follows a fixed script, so that the same conversation always gets the same replies.
 *
 * Without a directive the demo's script runs, which ends with the last line that a scheduled prompt asks for. A directive anywhere in the person's message picks another:
 *
 * | directive | what the model does |
 * |---|---|
 * | `script:text` | answers at once, quoting the message |
 * | `script:two` | two text blocks in one message |
 * | `script:long:N` | an answer of N characters |
 * | `script:slow:MS` | one answer that streams for MS milliseconds |
 * | `script:tools:N` | N Bash calls, one after another, then an answer |
 * | `script:parallel:N` | N Bash calls in one message, then an answer |
 * | `script:github` | clones the first repository that the message has the address of, pushes a branch, tries `main` and the second one, then answers with what git said |
 * | `script:bash:B64` | runs the command (base64url), then answers with its whole output |
 * | `script:agent:B64` | starts a subagent with that prompt (base64url; a directive in it is the subagent's), then answers with what it said |
 * | `script:ask` | asks its user a question with two options, then answers with what came back |
 * | `script:error:STATUS[:RETRY_AFTER]` | that API error, every time |
 * | `script:flaky:STATUS:N` | that API error for the first N requests, then an answer |
 * | `script:drop` | closes the connection in the middle of a text block, every time |
 * | `script:stall` | begins to answer and says no more |
 * | `script:hang` | accepts the request and never answers |
 * | `script:garbage` | 200 and bytes that are no events |
 * | `script:empty` | a message without text |
 */
import * as Schema from "effect/Schema"

const ContentBlock = Schema.Struct({
  type: Schema.String,
  text: Schema.optionalKey(Schema.String),
  content: Schema.optionalKey(Schema.Unknown)
})

/** What is read of a `POST /v1/messages` body; everything else in it is ignored. */
export const MessagesRequest = Schema.Struct({
  model: Schema.String,
  stream: Schema.optionalKey(Schema.Boolean),
  system: Schema.optionalKey(Schema.Unknown),
  messages: Schema.Array(Schema.Struct({
    role: Schema.String,
    content: Schema.Union([Schema.String, Schema.Array(ContentBlock)])
  }))
})
export type MessagesRequest = typeof MessagesRequest.Type

export type Block =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "tool"; readonly name: string; readonly input: Readonly<Record<string, unknown>> }

export type Plan =
  /** `pauseMillis` passes before each piece of a text block. */
  | { readonly kind: "reply"; readonly blocks: ReadonlyArray<Block>; readonly pauseMillis: number }
  | {
    readonly kind: "refuse"
    readonly status: number
    readonly type: string
    readonly message: string
    /** Seconds, for the `retry-after` header. */
    readonly retryAfter?: number
  }
  | { readonly kind: "drop"; readonly text: string }
  | { readonly kind: "stall"; readonly text: string }
  | { readonly kind: "hang" }
  | { readonly kind: "garbage" }

/** Where a request stands: what the person wrote last, and how often the model has spoken since. */
export interface Position {
  readonly said: string
  readonly step: number
  /** Text of the tool results that came last, in order. */
  readonly toolOutput: string
  /** Text of every tool result since the person spoke, in order. */
  readonly outputs: ReadonlyArray<string>
  readonly cwd: string
}

/** The notice that ends every scripted answer of the demo, so that nobody mistakes it for a model. */
export const scriptedNotice = "_This reply is scripted: no model read your message. " +
  "Set ANTHROPIC_API_KEY to talk to a real one._"

const textOf = (content: MessagesRequest["messages"][number]["content"]): string =>
  typeof content === "string"
    ? content
    : content.flatMap((block) => block.type === "text" && block.text !== undefined ? [block.text] : [])
      .filter((text) => !text.startsWith("<system-reminder>"))
      .join("\n")

const isTextBlock = Schema.is(Schema.Struct({ type: Schema.Literal("text"), text: Schema.String }))

const toolResultText = (content: unknown): string =>
  typeof content === "string"
    ? content
    : Array.isArray(content)
    ? content.flatMap((block) => isTextBlock(block) ? [block.text] : []).join("\n")
    : ""

const cwdPattern = /Primary working directory: (\S[^\n\\"]*)/

/** Reads the position out of a request. */
export const positionOf = (request: MessagesRequest): Position => {
  const spoken = request.messages.findLastIndex((message) => message.role === "user" && textOf(message.content) !== "")
  const after = request.messages.slice(spoken + 1)
  const results = request.messages.findLast((message) =>
    message.role === "user" && typeof message.content !== "string" &&
    message.content.some((block) => block.type === "tool_result")
  )
  const outputs = after.flatMap(({ content, role }) =>
    role === "user" && typeof content !== "string"
      ? content.filter(({ type }) => type === "tool_result").map((block) => toolResultText(block.content))
      : []
  )
  const everything = JSON.stringify([request.system, request.messages.map((message) => message.content)])
  return {
    said: spoken < 0 ? "" : textOf(request.messages[spoken]?.content ?? ""),
    step: after.filter((message) => message.role === "assistant").length,
    toolOutput: results === undefined || typeof results.content === "string"
      ? ""
      : results.content.filter((block) => block.type === "tool_result").map((block) => toolResultText(block.content))
        .join("\n"),
    outputs,
    cwd: cwdPattern.exec(everything.replaceAll("\\n", "\n"))?.[1]?.trim() ?? "/tmp"
  }
}

/** Begins every line that the runtime puts into a prompt; no line of a person's can (`runtime/kernel/turns/Prompt.ts`). */
const framePrefix = "[km]"

/** What the person wrote, without the runtime's own lines and without the directive; at most 400 characters. */
export const quoteOf = (said: string): string => {
  const own = said.split("\n").filter((line) => !line.startsWith(framePrefix)).join("\n")
  const body = own.replace(directivePattern, "").trim()
  return body.length > 400 ? `${Array.from(body).slice(0, 400).join("")}…` : body
}

const quoted = (said: string): string => quoteOf(said).split("\n").map((line) => `> ${line}`).join("\n")

const directivePattern = /\bscript:([a-z]+)((?::[\w.-]+)*)/

const errorTypes: Readonly<Record<number, readonly [type: string, message: string]>> = {
  400: ["invalid_request_error", "scripted: the request was refused"],
  401: ["authentication_error", "invalid x-api-key"],
  402: ["billing_error", "scripted: no credit"],
  403: ["permission_error", "scripted: not allowed"],
  404: ["not_found_error", "model: scripted"],
  413: ["request_too_large", "scripted: request too large"],
  429: ["rate_limit_error", "scripted: rate limited"],
  500: ["api_error", "scripted: internal error"],
  529: ["overloaded_error", "Overloaded"]
}

const refuse = (status: number, retryAfter: number | undefined): Plan => {
  const [type, message] = errorTypes[status] ?? ["api_error", `scripted: status ${status}`]
  return { kind: "refuse", status, type, message, ...(retryAfter === undefined ? {} : { retryAfter }) }
}

const text = (value: string): Block => ({ kind: "text", text: value })
const bash = (command: string, description: string): Block => ({
  kind: "tool",
  name: "Bash",
  input: { command, description }
})
const reply = (blocks: ReadonlyArray<Block>, pauseMillis = 0): Plan => ({ kind: "reply", blocks, pauseMillis })

const answer = (position: Position): Plan => reply([text(`You wrote:\n\n${quoted(position.said)}`)])

/** Milliseconds between two pieces of text in the demo: enough to see it grow. */
const demoPauseMillis = 30

/** The last line that a scheduled prompt asks for (`runtime/kernel/sandboxes/SandboxActions.ts`); a script always succeeds. */
const expectedPattern = /last line that is exactly:\n(.+)(?:\n|$)/

const demo = (position: Position): Plan => {
  const expected = expectedPattern.exec(position.said)?.[1]
  switch (position.step) {
    case 0:
      return reply([
        text("I got your message. First I look at the workspace."),
        bash("uname -sm && ls -1A | head -20", "Look at the workspace")
      ], demoPauseMillis)
    case 1:
      return reply([
        text("Now I write down what you asked."),
        {
          kind: "tool",
          name: "Write",
          input: { file_path: `${position.cwd}/NOTES.md`, content: `# Notes\n\n${quoted(position.said)}\n` }
        }
      ], demoPauseMillis)
    default:
      return reply([
        text(
          `You wrote:\n\n${quoted(position.said)}\n\n` +
            `I ran one command and wrote your words to \`NOTES.md\`.\n\n${scriptedNotice}` +
            (expected === undefined ? "" : `\n\n${expected}`)
        )
      ], demoPauseMillis)
  }
}

const addressPattern = /https:\/\/[\w.-]+(?::[0-9]+)?\/[\w-]+\/[\w-]+(?:\.[\w-]+)*/g

const identity = "-c user.name=agent -c user.email=agent@km.invalid"

/** What the branch is called that the script pushes; the demo's profile allows it. */
export const scriptedBranch = "feature/hello"

const fenced = (output: string | undefined): string => `\`\`\`\n${(output ?? "").trim()}\n\`\`\``

/** The refusals come back to the script as they would to a model: as what git printed. */
const github = (position: Position): Plan => {
  const [repository, other] = position.said.match(addressPattern) ?? []
  if (repository === undefined || other === undefined) return reply([text("The message names no two repositories.")])
  switch (position.step) {
    case 0:
      return reply([
        text("I clone the repository and commit a line."),
        bash(
          `rm -rf work; git clone -q ${repository} work && ` +
            `(git -C work checkout -q ${scriptedBranch} 2>/dev/null || git -C work checkout -q -b ${scriptedBranch}) && ` +
            `date >> work/HELLO.md && git -C work add . && git -C work ${identity} commit -q -m "Say hello"`,
          "Clone and commit"
        )
      ])
    case 1:
      return reply([
        text(`Then I push it to \`${scriptedBranch}\`.`),
        bash(`git -C work push origin HEAD:${scriptedBranch}`, "Push the branch")
      ])
    case 2:
      return reply([
        text("Now what I was not given: `main`, and the other repository."),
        bash(
          `git -C work push origin HEAD:main; git clone -q ${other} other; env | grep -E '^(GH|GITHUB)_TOKEN='`,
          "Try main and another repository"
        )
      ])
    default:
      return reply([
        text(
          `The branch is pushed:\n\n${fenced(position.outputs[1])}\n\n` +
            `What I may not do, git told me; and all that I have for a token is a word:\n\n${
              fenced(position.outputs[2])
            }\n\n${scriptedNotice}`
        )
      ])
  }
}

const filler = "The quick brown fox jumps over the lazy dog. "

/** Longest answer and most calls that a directive can ask for, so that a typing slip does not fill a disk. */
const maxLongChars = 2_000_000
const maxTools = 2_000

/**
 * The plan for one request. `asked` counts earlier requests at the same position (a retry is the same position
 * again), which is all the memory that the script has.
 */
export const planOf = (position: Position, asked: number): Plan => {
  const match = directivePattern.exec(position.said)
  if (match === null) return demo(position)
  const [, name = "", rest = ""] = match
  const args = rest.split(":").slice(1)
  const first = Number(args[0])
  switch (name) {
    case "text":
      return answer(position)
    case "two":
      return reply([text("First block."), text("Second block.")])
    case "empty":
      return reply([text("")])
    case "long": {
      const length = Math.min(Number.isFinite(first) ? first : 20_000, maxLongChars)
      return reply([text(filler.repeat(Math.ceil(length / filler.length)).slice(0, length))])
    }
    case "slow": {
      const words = Array.from({ length: 40 }, (_, index) => `word${index} `).join("")
      return reply([text(words)], Math.max(1, Math.floor((Number.isFinite(first) ? first : 5_000) / 40)))
    }
    case "tools": {
      const calls = Math.min(Number.isFinite(first) ? first : 3, maxTools)
      return position.step < calls
        ? reply([bash(`true # ${position.step + 1} of ${calls}`, "Count")])
        : reply([text(`Ran ${calls} commands.`)])
    }
    case "parallel": {
      const calls = Math.min(Number.isFinite(first) ? first : 3, 50)
      return position.step === 0
        ? reply(Array.from({ length: calls }, (_, index) => bash(`true # ${index + 1} of ${calls}`, "Count")))
        : reply([text(`Ran ${calls} commands at once.`)])
    }
    case "github":
      return github(position)
    case "bash":
      return position.step === 0
        ? reply([bash(Buffer.from(args[0] ?? "", "base64url").toString("utf8"), "Run the given command")])
        : reply([text(`Output:\n\n${position.toolOutput}`)])
    case "agent":
      return position.step === 0
        ? reply([{
          kind: "tool",
          name: "Agent",
          input: {
            description: "Do the given work",
            prompt: Buffer.from(args[0] ?? "", "base64url").toString("utf8"),
            subagent_type: "general-purpose",
            run_in_background: false
          }
        }])
        : reply([text(`The subagent said:\n\n${position.toolOutput}`)])
    case "ask":
      return position.step === 0
        ? reply([{
          kind: "tool",
          name: "AskUserQuestion",
          input: {
            questions: [{
              question: "Which colour?",
              header: "Colour",
              multiSelect: false,
              options: [{ label: "Red", description: "Like a rose" }, { label: "Blue", description: "Like the sky" }]
            }]
          }
        }])
        : reply([text(`Output:\n\n${position.toolOutput}`)])
    case "error":
      return refuse(Number.isFinite(first) ? first : 500, args[1] === undefined ? undefined : Number(args[1]))
    case "flaky":
      return asked < Number(args[1] ?? 1) ? refuse(first, undefined) : answer(position)
    case "drop":
      return { kind: "drop", text: "This will be cut" }
    case "stall":
      return { kind: "stall", text: "This will stall" }
    case "hang":
      return { kind: "hang" }
    case "garbage":
      return { kind: "garbage" }
    default:
      return reply([text(`There is no script named ${name}.`)])
  }
}
