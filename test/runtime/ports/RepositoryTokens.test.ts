import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import {
  makeMemoryRepositoryTokensState,
  RepositoryTokens,
  tokenRefused
} from "../../../runtime/ports/RepositoryTokens.ts"

const api = { host: "github.com", owner: "org", name: "api", id: 7, installation: 3 }

describe("RepositoryTokens in memory", () => {
  it.effect("gives a token by names in any case and by number, and none for another repository", () => {
    const state = makeMemoryRepositoryTokensState([api])
    return Effect.gen(function*() {
      const tokens = yield* RepositoryTokens
      const named = yield* tokens.token({ host: "GitHub.com", owner: "Org", name: "API" }, "read")
      assert.strictEqual(named.repository.id, 7)
      assert.strictEqual(named.expiresAt - named.mintedAt, 3_600_000)
      const numbered = yield* tokens.token({ host: "github.com", id: 7 }, "write")
      assert.strictEqual(numbered.access, "write")
      assert.notStrictEqual(Redacted.value(numbered.token), Redacted.value(named.token))
      const refused = yield* Effect.flip(tokens.token({ host: "github.com", owner: "org", name: "web" }, "read"))
      assert.strictEqual(refused.reason, "NotAllowed")
      const elsewhere = yield* Effect.flip(tokens.token({ host: "ghe.example.com", id: 7 }, "read"))
      assert.strictEqual(elsewhere.reason, "NotAllowed")
      state.readOnly = true
      assert.strictEqual((yield* Effect.flip(tokens.token(api, "write"))).reason, "ReadOnly")
      state.trouble = tokenRefused("Suspended", "the installation on org is suspended")
      assert.strictEqual(
        (yield* Effect.flip(tokens.token(api, "read"))).message,
        "KM-GHA-023: the installation on org is suspended"
      )
    }).pipe(Effect.provide(RepositoryTokens.memory(state)))
  })

  it.effect("makes one new token for all who come with the same stale one", () =>
    Effect.gen(function*() {
      const tokens = yield* RepositoryTokens
      const stale = yield* tokens.token(api, "read")
      const first = yield* tokens.refreshed(stale)
      const second = yield* tokens.refreshed(stale)
      assert.notStrictEqual(Redacted.value(first.token), Redacted.value(stale.token))
      assert.strictEqual(Redacted.value(second.token), Redacted.value(first.token))
    }).pipe(Effect.provide(RepositoryTokens.memory(makeMemoryRepositoryTokensState([api])))))
})
