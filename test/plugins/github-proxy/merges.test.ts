/** Two sandboxes at one pull request: what one of them judged is what is merged, whatever the other one does meanwhile. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { pullHolds } from "../../../plugins/github-proxy/proxy/PullHolds.ts"
import type { GitHubPolicy } from "../../../runtime/domain/github/GitHubPolicy.ts"
import { otherSandbox, sandbox } from "../../bridge/world.ts"
import { pullBridge } from "../../support/pullBridge.ts"
import { untilReal } from "../../support/untilReal.ts"
import { gitHubDouble } from "./gitHub.ts"
import { type ProxyWorld, proxyWorld } from "./proxyWorld.ts"
import { gateOn, withPulls } from "./pulls.ts"
import { statusOf, tunnelled } from "./rawClient.ts"

const send = (world: ProxyWorld, method: string, target: string, body: unknown) => {
  const text = body === undefined ? "" : JSON.stringify(body)
  return tunnelled(
    world,
    "api.github.com:443",
    [
      `${method} ${target} HTTP/1.1`,
      "Host: api.github.com",
      "Content-Type: application/json",
      `Content-Length: ${text.length}`,
      "Connection: close",
      "",
      text
    ].join("\r\n")
  )
}

const merge = (world: ProxyWorld, body?: object) => send(world, "PUT", "/repos/my-org/api/pulls/1/merge", body)
const rebase = (world: ProxyWorld, base: string) => send(world, "PATCH", "/repos/my-org/api/pulls/1", { base })
const mutate = (world: ProxyWorld, mutation: string, input: string) =>
  send(world, "POST", "/graphql", { query: `mutation { ${mutation}(input: { ${input} }) { clientMutationId } }` })

const may: Partial<GitHubPolicy> = { capabilities: ["merge", "pulls"] }

/** `narrow` may move feature/* alone, `wide` main as well; both are before one GitHub, with one bridge. */
const twoSandboxes = Effect.gen(function*() {
  const gitHub = yield* gitHubDouble
  const bridge = yield* pullBridge
  const pulls = withPulls(gitHub, { 1: {} })
  const narrow = yield* proxyWorld({ gitHub, bridge, policy: may, sandbox })
  const wide = yield* proxyWorld({ gitHub, bridge, policy: { ...may, allowedRefs: ["**"] }, sandbox: otherSandbox })
  const waits = (id: string) =>
    untilReal(
      "the other one waits for its turn",
      Effect.sync(() => bridge.answered.includes(`${id} pull.hold in_progress`))
    )
  return { bridge, gitHub, narrow, pulls, waits, wide }
})

describe("a merge", () => {
  it.live("goes into the base that was judged: who changes the base waits until it is over", () =>
    Effect.gen(function*() {
      const { narrow, pulls, waits, wide } = yield* twoSandboxes
      const gate = gateOn(pulls, "merge")
      const merging = yield* Effect.forkChild(merge(narrow), { startImmediately: true })
      yield* gate.reached
      const changing = yield* Effect.forkChild(rebase(wide, "main"), { startImmediately: true })
      yield* waits(otherSandbox)
      assert.deepStrictEqual(pulls.done, [])
      yield* gate.open
      assert.strictEqual(statusOf(yield* Fiber.join(merging)), 200)
      assert.strictEqual(statusOf(yield* Fiber.join(changing)), 200)
      assert.deepStrictEqual(pulls.done, ["merge 1 into feature/x", "base 1 main"])
    }))

  it.live("is judged again in its turn: a base that was changed meanwhile refuses it", () =>
    Effect.gen(function*() {
      const { narrow, pulls, waits, wide } = yield* twoSandboxes
      const gate = gateOn(pulls, "base")
      const changing = yield* Effect.forkChild(rebase(wide, "main"), { startImmediately: true })
      yield* gate.reached
      const merging = yield* Effect.forkChild(merge(narrow), { startImmediately: true })
      yield* waits(sandbox)
      yield* gate.open
      yield* Fiber.join(changing)
      const answer = yield* Fiber.join(merging)
      assert.strictEqual(statusOf(answer), 403, answer)
      assert.include(answer, "km: refused: refs/heads/main may not be moved")
      assert.deepStrictEqual(pulls.done, ["base 1 main"])
    }))

  it.live("by GraphQL and by REST takes turns with each other, as does what moves the head", () =>
    Effect.gen(function*() {
      const { bridge, narrow, pulls, waits, wide } = yield* twoSandboxes
      const gate = gateOn(pulls, "merge")
      const merging = yield* Effect.forkChild(mutate(narrow, "mergePullRequest", "pullRequestId: \"PR_1\""), {
        startImmediately: true
      })
      yield* gate.reached
      const others = [
        rebase(wide, "main"),
        mutate(wide, "updatePullRequest", "pullRequestId: \"PR_1\", baseRefName: \"main\""),
        mutate(wide, "updatePullRequestBranch", "pullRequestId: \"PR_1\""),
        send(wide, "PUT", "/repos/my-org/api/pulls/1/update-branch", {})
      ]
      const changing = yield* Effect.forkChild(Effect.all(others, { concurrency: "unbounded" }), {
        startImmediately: true
      })
      yield* waits(otherSandbox)
      yield* untilReal(
        "all four wait",
        Effect.sync(() => bridge.answered.filter((line) => line.endsWith("in_progress")).length >= others.length)
      )
      assert.deepStrictEqual(pulls.done, [])
      yield* gate.open
      assert.strictEqual(statusOf(yield* Fiber.join(merging)), 200)
      for (const answer of yield* Fiber.join(changing)) assert.strictEqual(statusOf(answer), 200, answer)
      assert.strictEqual(pulls.done[0], "merge 1 into feature/x")
      assert.deepStrictEqual(pulls.done.slice(1).toSorted(), ["base 1 main", "base 1 main", "update 1", "update 1"])
    }))

  it.live("takes the head that was judged, and no other that was pushed meanwhile", () =>
    Effect.gen(function*() {
      const { narrow, pulls } = yield* twoSandboxes
      const gate = gateOn(pulls, "merge")
      const merging = yield* Effect.forkChild(merge(narrow, { merge_method: "squash" }), { startImmediately: true })
      yield* gate.reached
      const pull = pulls.known.get(1)
      if (pull !== undefined) pull.sha = "f".repeat(40)
      yield* gate.open
      const answer = yield* Fiber.join(merging)
      assert.strictEqual(statusOf(answer), 409)
      assert.include(answer, "Head branch was modified")
      for (const sha of ["", "abc", "A".repeat(40), "main"]) {
        assert.strictEqual(statusOf(yield* merge(narrow, { sha })), 403)
      }
      assert.strictEqual(statusOf(yield* merge(narrow, { sha: "f".repeat(40) })), 200)
      assert.deepStrictEqual(pulls.done, ["merge 1 into feature/x"])
    }))

  it.live("of several pull requests in one operation is refused", () =>
    Effect.gen(function*() {
      const { narrow, pulls } = yield* twoSandboxes
      pulls.known.set(2, { base: "feature/x", head: "feature/z", sha: "a".repeat(40), merged: false })
      const answer = yield* send(narrow, "POST", "/graphql", {
        query: `mutation {
          a: mergePullRequest(input: { pullRequestId: "PR_1" }) { clientMutationId }
          b: mergePullRequest(input: { pullRequestId: "PR_2" }) { clientMutationId } }`
      })
      assert.include(answer, "one operation merges or moves one pull request at most")
      assert.deepStrictEqual(pulls.done, [])
    }))

  it.live("of which GitHub did not say what came of it keeps others off until it must be over", () =>
    Effect.gen(function*() {
      const { bridge, narrow, pulls, waits, wide } = yield* twoSandboxes
      pulls.after = (what, request) => {
        if (what !== "merge") return false
        request.socket.destroy()
        return true
      }
      const answer = yield* merge(narrow)
      assert.strictEqual(statusOf(answer), 503)
      assert.include(answer, "GitHub closed the connection; try again")
      const changing = yield* Effect.forkChild(rebase(wide, "main"), { startImmediately: true })
      yield* waits(otherSandbox)
      yield* Fiber.interrupt(changing)
      assert.include(bridge.answered, `${sandbox} pull.release ok`)
      assert.deepStrictEqual(pulls.done, ["merge 1 into feature/x"])
    }))

  it.live("is never sent where nobody can say whose turn it is", () =>
    Effect.gen(function*() {
      const { narrow, pulls, wide } = yield* twoSandboxes
      const alone = yield* proxyWorld({
        gitHub: narrow.gitHub,
        policy: { ...may, repositories: [{ id: 8, owner: "my-org", name: "api" }] }
      })
      // The bridge knows of no repository 8.
      const refused = yield* send(alone, "PATCH", "/repos/my-org/api/pulls/1", { base: "feature/z" })
      assert.strictEqual(statusOf(refused), 503)
      assert.include(refused, "this sandbox may no longer write to my-org/api")
      assert.deepStrictEqual(pulls.done, [])
      assert.strictEqual(statusOf(yield* rebase(wide, "main")), 200)
    }))
})

describe("a turn", () => {
  const pull = { repository: { id: 7, owner: "my-org", name: "api" }, number: 1 }
  const turns = Effect.gen(function*() {
    const bridge = yield* pullBridge
    const clock = yield* TestClock.testClockWith(Effect.succeed)
    const now = () => clock.currentTimeMillisUnsafe()
    const of = (id: typeof sandbox) => pullHolds(bridge.of(id), { host: "github.com", sandbox: id, now })
    return { bridge, mine: of(sandbox), other: of(otherSandbox) }
  })
  const known = Effect.succeed("known" as const)

  it.effect("is waited for 20 s, and then refused with what is so", () =>
    Effect.gen(function*() {
      const { mine, other } = yield* turns
      yield* Effect.forkChild(mine.during(pull, Effect.never), { startImmediately: true })
      const waiting = yield* Effect.forkChild(Effect.flip(other.during(pull, known)), { startImmediately: true })
      yield* TestClock.adjust("19 seconds")
      assert.isUndefined(waiting.pollUnsafe())
      yield* TestClock.adjust("1 second")
      const refused = yield* Fiber.join(waiting)
      assert.strictEqual(
        refused.message,
        "my-org/api#1 is being merged or changed by another request of this install; try again"
      )
    }))

  it.effect("of a process that was killed ends by itself after two minutes", () =>
    Effect.gen(function*() {
      const { bridge, other } = yield* turns
      yield* bridge.of(sandbox).call({
        key: "x",
        action: { action: "pull.hold", host: "github.com", repository: 7, pull: 1 }
      })
      yield* TestClock.adjust("119 seconds")
      const waiting = yield* Effect.forkChild(other.during(pull, known), { startImmediately: true })
      yield* TestClock.adjust("500 millis")
      assert.isUndefined(waiting.pollUnsafe())
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(waiting)
    }))

  it.effect("whose work is cut off is followed by the next one after 15 s, and at once where its end is known", () =>
    Effect.gen(function*() {
      const { mine, other } = yield* turns
      yield* mine.during(pull, known)
      yield* other.during(pull, known)
      const cut = yield* Effect.forkChild(mine.during(pull, Effect.never), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(cut)
      const waiting = yield* Effect.forkChild(other.during(pull, known), { startImmediately: true })
      yield* TestClock.adjust("14 seconds")
      assert.isUndefined(waiting.pollUnsafe())
      yield* TestClock.adjust("1500 millis")
      yield* Fiber.join(waiting)
      yield* mine.during(pull, Effect.succeed("unknown" as const))
      const third = yield* Effect.forkChild(other.during(pull, known), { startImmediately: true })
      yield* TestClock.adjust("14 seconds")
      assert.isUndefined(third.pollUnsafe())
      yield* TestClock.adjust("1500 millis")
      yield* Fiber.join(third)
    }))

  it.effect("ends before its hold does, however long the work takes", () =>
    Effect.gen(function*() {
      const { mine, other } = yield* turns
      const long = yield* Effect.forkChild(Effect.flip(mine.during(pull, Effect.never)), { startImmediately: true })
      yield* TestClock.adjust("100 seconds")
      assert.match((yield* Fiber.join(long)).message, /^GitHub took too long over my-org\/api#1/)
      const waiting = yield* Effect.forkChild(other.during(pull, known), { startImmediately: true })
      yield* TestClock.adjust("15500 millis")
      yield* Fiber.join(waiting)
    }))

  it.effect("of one pull request keeps nobody from another", () =>
    Effect.gen(function*() {
      const { mine, other } = yield* turns
      yield* Effect.forkChild(mine.during(pull, Effect.never), { startImmediately: true })
      yield* other.during({ ...pull, number: 2 }, known)
      assert.strictEqual(pull.number, 1)
    }))
})
