/** `km config explain`: every setting, its value, and where that came from. */
import * as Effect from "effect/Effect"
import { settings } from "../Configuration.ts"
import { columns, data } from "../Output.ts"

export const configExplain = Effect.fn("km.config.explain")(function*() {
  const { explained } = yield* settings
  yield* data(
    columns([
      ["KEY", "VALUE", "SOURCE", "FROM"],
      ...explained.map(({ from, key, source, value }) => [key, value, source, from])
    ]),
    { ok: true, settings: explained }
  )
})
