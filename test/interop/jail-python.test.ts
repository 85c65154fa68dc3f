/** Python's programs in the jail: pip, requests and dulwich, by the proxy and without being told of it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { clientWorld } from "../support/clientWorld.ts"
import { registryUrl } from "../support/registry.ts"

/** Clones, then pushes a commit to one branch after another, and prints what each is answered. */
const dulwich = `
from dulwich import porcelain
repository = porcelain.clone("https://github.com/my-org/api.git", "/tmp/dulwich")
print(open("/tmp/dulwich/README").read())
porcelain.commit(repository, message=b"second", author=b"a <a@a>", committer=b"a <a@a>")
for branch in ("feature/dulwich", "main"):
    porcelain.push(repository, "https://github.com/my-org/api.git", "refs/heads/main:refs/heads/" + branch)
`

describe("Python in the jail", () => {
  it.live("has packages from a registry that its profile names, and from no other", () =>
    Effect.gen(function*() {
      const world = yield* clientWorld()
      const said = yield* world.says(`
        pip="python3 -m pip install -q --root-user-action ignore --disable-pip-version-check --retries 0 --target /tmp/py"
        $pip --index-url ${registryUrl}/simple km-sample && PYTHONPATH=/tmp/py python3 -c 'import km_sample; print(km_sample.said)'
        $pip --index-url https://elsewhere.example.com/simple km-sample || echo no other
        python3 -c 'import requests; print(requests.get("${registryUrl}/plain").text)'`)
      assert.include(said, "from pypi")
      assert.include(said, "no other")
      assert.include(said, "the registry")
      assert.deepStrictEqual([...new Set(world.gitHub.resolved)], ["registry.example.com"])
    }))

  it.live("clones and pushes by dulwich, which prints why a branch is refused", () =>
    Effect.gen(function*() {
      const world = yield* clientWorld()
      const said = yield* world.says(`python3 - <<'END'\n${dulwich}\nEND`)
      assert.include(said, "my-org/api")
      assert.include(said, "Ref refs/heads/feature/dulwich updated")
      assert.include(
        said,
        "Push of ref refs/heads/main failed: km: refs/heads/main may not be moved; allowed are: feature/*"
      )
      assert.notInclude(said, "Ref refs/heads/main updated")
    }))
})
