/** What tokens cost, for budgets. An estimate: the bill is the provider's. */
import type { Usage } from "./Usage.ts"

/** US dollars for a million tokens. */
export interface Price {
  readonly input: number
  readonly output: number
  readonly cacheRead: number
  readonly cacheWrite: number
}

/**
 * List prices as Claude Code 2.1.330 reports them (`costBasis: list`), measured 2026-11-23 by answering it with
 * 100,000 tokens of each kind and reading `total_cost_usd`.
 */
const prices: ReadonlyArray<readonly [family: string, price: Price]> = [
  ["haiku", { input: 0.1, output: 0.5, cacheRead: 0.01, cacheWrite: 0.125 }],
  ["sonnet", { input: 2, output: 10, cacheRead: 0.1, cacheWrite: 2.5 }],
  ["opus", { input: 4, output: 20, cacheRead: 0.2, cacheWrite: 5 }]
]

/** Fable 5.2, the dearest measured; also taken for a model we do not know, so that a budget is never overrun by it. */
const dearest: Price = { input: 8, output: 40, cacheRead: 0.2, cacheWrite: 10 }

/** The price of a model by its family name. */
export const priceOf = (model: string): Price => prices.find(([family]) => model.includes(family))?.[1] ?? dearest

/** US dollars. */
export const costOf = (model: string, usage: Usage): number => {
  const price = priceOf(model)
  return (usage.input * price.input + usage.output * price.output + usage.cacheRead * price.cacheRead +
    usage.cacheWrite * price.cacheWrite) / 1_000_000
}
