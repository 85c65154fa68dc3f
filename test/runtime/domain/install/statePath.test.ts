/** The state directory is told or the home's, and never the working directory's. */
import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import { expandHome, homeOf, type StateGiven, statePlace } from "../../../../runtime/domain/install/StatePath.ts"

const pathOf = (given: StateGiven) => Result.getOrElse(Result.map(statePlace(given), ({ path }) => path), String)

const unusable = Schema.Literals(["", ".", "..", "km", "./km", "../km", " /km", "~", "~/km"])
const place = Schema.Literals(["/", "/h", "/h/", "/a b/ü"])
const some = Schema.optionalKey(Schema.Union([unusable, place]))
const Environment = Schema.Struct({ xdg: some, home: some, account: some })

describe("the place of the state", () => {
  it.prop("is absolute or refused, whatever the environment says", [Environment], ([given]) => {
    const found = statePlace(given)
    if (Result.isSuccess(found)) {
      assert.match(found.success.path, /^\/([^/].*[^/])?$/)
    } else {
      assert.isFalse([given.xdg, given.home, given.account].some((path) => path?.startsWith("/") === true))
    }
  })

  it("takes the strongest that is a place", () => {
    const all = { flag: "/f", variable: "/v", xdg: "/x", home: "/h", account: "/a" }
    assert.strictEqual(pathOf(all), "/f")
    assert.strictEqual(pathOf({ variable: "/v", xdg: "/x", home: "/h", account: "/a" }), "/v")
    assert.strictEqual(pathOf({ variable: "", xdg: "/x", home: "/h", account: "/a" }), "/x/km")
    assert.strictEqual(pathOf({ xdg: "x", home: "/h/", account: "/a" }), "/h/.local/state/km")
    assert.strictEqual(pathOf({ home: "h", account: "/a" }), "/a/.local/state/km")
    assert.strictEqual(pathOf({ home: "/" }), "/.local/state/km")
  })

  it("refuses an empty flag, which is a script's unset variable", () => {
    assert.strictEqual(pathOf({ flag: "", variable: "/v", home: "/h" }), "--state is empty")
    assert.strictEqual(pathOf({}), "HOME is not set and this account has no home")
  })

  it("reads ~ as shells do, also where they do not", () => {
    const homes = { home: "/h", account: "/a" }
    assert.deepStrictEqual(expandHome("~", homes), Result.succeed("/h"))
    assert.deepStrictEqual(expandHome("~/a/~", homes), Result.succeed("/h/a/~"))
    assert.deepStrictEqual(expandHome("a/~", homes), Result.succeed("a/~"))
    assert.deepStrictEqual(expandHome("./~", homes), Result.succeed("./~"))
    assert.isTrue(Result.isFailure(expandHome("~root/km", homes)))
    assert.isTrue(Result.isFailure(expandHome("~/km", { home: "h" })))
    assert.isTrue(Result.isFailure(expandHome("/a\0b", homes)))
    assert.strictEqual(pathOf({ flag: "~/km", home: "/h" }), "/h/km")
    assert.strictEqual(homeOf({ home: "/h//" }), "/h")
  })
})
