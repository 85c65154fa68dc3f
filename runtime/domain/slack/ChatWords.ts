/**
 * What people can write to us in a thread instead of to the agent: one table, from which words are read, `!help` is
 * answered and docs/slack-notifications.md is made. Pure.
 */

interface ChatWord {
  /** What may follow the word. */
  readonly takes: string
  readonly does: string
  /** What is said where words follow that it does not take. */
  readonly hint: string
}

export const chatWords = {
  help: {
    takes: "",
    does: "shows these words",
    hint: "Write `!help` alone to see the words that I know."
  },
  status: {
    takes: "",
    does: "says what the sandbox is doing, and what runs and waits in this thread",
    hint: "Write `!status` alone to see what the sandbox is doing."
  },
  stop: {
    takes: "",
    does:
      "stops what runs and waits in this thread; outside a thread, everything of the sandbox. 🛑 on a message stops that one",
    hint: "Nothing was stopped. To stop the agent, write `!stop` alone."
  },
  new: {
    takes: "",
    does: "the next message of this thread begins a fresh session",
    hint: "Write `!new` alone, then what you want in a message of its own."
  },
  model: {
    takes: "",
    does: "says which model the agent uses",
    hint:
      "The model is set by the sandbox's profile (`spec.agent.model`), not from here. `!model` alone says which it is."
  },
  aside: {
    takes: "what you want to say to the others",
    does: "for people only: the agent never sees it",
    hint: ""
  }
} as const satisfies Record<string, ChatWord>

export type ChatWordName = keyof typeof chatWords
const names = Object.keys(chatWords) as ReadonlyArray<ChatWordName>

/** A message as it was written: for the agent, for people only, a word, or what only looks like one. */
export type Spoken =
  | { readonly _tag: "Message" }
  | { readonly _tag: "Aside" }
  | { readonly _tag: "Word"; readonly word: Exclude<ChatWordName, "aside"> }
  /** Never given to the agent: whoever writes it means us. */
  | { readonly _tag: "Hint"; readonly word: ChatWordName }

/** The mark, perhaps a full-width one, and a word that goes no further. */
const pattern = /^[!\uff01]\s*([a-z]{2,12})(?![\p{L}\p{N}_-])([^]*)$/iu

/** Words of courtesy, with which an order is still one. */
const courtesy =
  /^(?:[\s,.!\u2026]+(?:it|that|this|now|please|pls|plz|thanks|thank you|ok|okay|immediately|at once|everything|all))*[\s,.!?\u2026]*$/i

/** One letter more, less, other, or two that changed places. */
const isNear = (a: string, b: string): boolean => {
  if (Math.abs(a.length - b.length) > 1) return false
  let from = 0
  while (from < a.length && a[from] === b[from]) from += 1
  const restA = a.slice(from)
  const restB = b.slice(from)
  return restA.slice(1) === restB.slice(1) || restA.slice(1) === restB || restA === restB.slice(1)
    || (restA[0] === restB[1] && restA[1] === restB[0] && restA.slice(2) === restB.slice(2))
}

/** What a decoded text is. A misspelt word counts only where nothing else is said. */
export const readSpoken = (text: string): Spoken => {
  const match = pattern.exec(text.trim())
  if (match === null) return { _tag: "Message" }
  const said = (match[1] ?? "").toLowerCase()
  const rest = match[2] ?? ""
  const word = names.find((name) => name === said)
  if (word === "aside") return { _tag: "Aside" }
  if (word !== undefined) return courtesy.test(rest) ? { _tag: "Word", word } : { _tag: "Hint", word }
  const near = said.length < 3 || rest.trim() !== "" ? undefined : names.find((name) => isNear(said, name))
  return near === undefined ? { _tag: "Message" } : { _tag: "Hint", word: near }
}

/** `!stop` and nothing but courtesy. */
export const isStop = (text: string): boolean => {
  const spoken = readSpoken(text)
  return spoken._tag === "Word" && spoken.word === "stop"
}

export const hintOf = (word: ChatWordName): string =>
  word === "aside"
    ? "Did you mean `!aside`? Messages that begin with it are for people only."
    : `${chatWords[word].hint} (The agent did not see this message.)`

/** One line a word. */
export const helpText = (): string =>
  [
    "Write to the agent as you would to a colleague. These words are for me:",
    ...names.map((name) => `- \`!${name}${chatWords[name].takes === "" ? "" : " …"}\` ${chatWords[name].does}`),
    "",
    "Files that you drop here reach the agent; an edit of a message that still waits counts, a deletion withdraws it."
  ].join("\n")
