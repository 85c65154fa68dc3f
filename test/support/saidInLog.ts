/** What a program says in its log: for what is only ever said there, such as a command that a person has to run. */
import { Logger } from "effect"

/** A log into a list, in place of the usual one: a line each, its level and the parts of its message as text. */
export const saidInLog = (said: Array<string>) =>
  Logger.layer([
    Logger.make(({ logLevel, message }) =>
      void said.push([logLevel, ...(Array.isArray(message) ? message : [message]).map(String)].join(": "))
    )
  ])
