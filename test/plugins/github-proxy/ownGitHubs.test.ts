/** GitHubs of the company's network and of this machine: what opens a way to them, and that nothing else does. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Net from "node:net"
import { PassThrough } from "node:stream"
import { dialName, type Outside } from "../../../plugins/github-proxy/outside/Outside.ts"
import { ownGitHubs } from "../../../plugins/github-proxy/policyOf.ts"
import { githubAddresses } from "../../../runtime/domain/github/AppSettings.ts"

/** Nothing is resolved or dialled: what would be dialled is written down, and stands at once. */
const outsideOf = (address: string, own: ReturnType<typeof ownGitHubs>) => {
  const dialled: Array<string> = []
  const outside: Outside = {
    ...own,
    authorities: [],
    resolve: () => Promise.resolve([address]),
    dial: (to, port) => {
      dialled.push(`${to}:${port}`)
      const socket = new PassThrough()
      process.nextTick(() => socket.emit("connect"))
      return socket as unknown as Net.Socket
    }
  }
  return { outside, dialled }
}

const dialledFor = (address: string, own: ReturnType<typeof ownGitHubs>, host: string, port: number) =>
  Effect.promise(async () => {
    const { dialled, outside } = outsideOf(address, own)
    await dialName(outside, host, port).catch(() => undefined)
    return dialled
  })

describe("GitHubs of the install's own", () => {
  const company = "ghe.example.com"

  it.live("a company's host may be on its network, once the install has an App there", () =>
    Effect.gen(function*() {
      const withApp = ownGitHubs([company], [company])
      for (const address of ["10.1.2.3", "192.168.7.7", "172.20.0.1", "100.64.3.2", "fd12::5", "140.82.112.3"]) {
        assert.deepStrictEqual(yield* dialledFor(address, withApp, company, 443), [`${address}:443`])
      }
      const profileAlone = ownGitHubs([company], ["github.com"])
      assert.deepStrictEqual(yield* dialledFor("10.1.2.3", profileAlone, company, 443), [])
      const installAlone = ownGitHubs(["github.com"], [company])
      assert.deepStrictEqual(yield* dialledFor("10.1.2.3", installAlone, company, 443), [])
    }))

  it.live("never at loopback, link-local or a metadata service", () =>
    Effect.gen(function*() {
      const withApp = ownGitHubs([company], [company])
      for (
        const address of [
          "127.0.0.1",
          "::1",
          "169.254.169.254",
          "fe80::1",
          "0.0.0.0",
          "fd00:ec2::254",
          "100.100.100.200"
        ]
      ) assert.deepStrictEqual(yield* dialledFor(address, withApp, company, 443), [], address)
    }))

  it.live("one of this machine is dialled at its own port alone, and only where the install names it so", () =>
    Effect.gen(function*() {
      const host = "github.test"
      const local = ownGitHubs([`${host}:4567`], [`${host}:4567`])
      assert.deepStrictEqual(yield* dialledFor("127.0.0.1", local, host, 4567), ["127.0.0.1:4567"])
      assert.deepStrictEqual(yield* dialledFor("127.0.0.1", local, host, 443), [])
      for (const installed of [[], [host], [`${host}:4568`], [`other.test:4567`]]) {
        assert.deepStrictEqual(
          yield* dialledFor("127.0.0.1", ownGitHubs([`${host}:4567`], installed), host, 4567),
          [],
          installed.join()
        )
      }
    }))

  it("plain HTTP is spoken with this machine alone", () => {
    assert.strictEqual(githubAddresses("127.0.0.1:4567").api, "http://127.0.0.1:4567/api/v3")
    assert.strictEqual(githubAddresses("github.test:4567").api, "http://127.0.0.1:4567/api/v3")
    for (
      const host of [
        "127.0.0.1.example.com",
        "127.0.0.1.example.com:4567",
        "github.test.example.com:4567",
        "github.test"
      ]
    ) assert.strictEqual(githubAddresses(host).web, `https://${host}`)
  })
})
