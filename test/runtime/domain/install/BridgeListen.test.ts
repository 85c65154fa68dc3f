/** Who may connect to the bridge, and to what: by the connection's own address alone. */
import { assert, describe, it } from "@effect/vitest"
import {
  isIpAddress,
  isLoopback,
  mayAsk,
  mayConnect,
  ownUrl,
  parseListen
} from "../../../../runtime/domain/install/BridgeListen.ts"

describe("where the bridge listens", () => {
  it("is an IP address and a port, and nothing else", () => {
    assert.deepStrictEqual(parseListen("127.0.0.1:8787"), { host: "127.0.0.1", port: 8787 })
    assert.deepStrictEqual(parseListen("[::1]:8787"), { host: "::1", port: 8787 })
    for (
      const text of [
        "",
        "8787",
        "localhost:8787",
        "127.0.0.1",
        "127.0.0.1:65536",
        "256.0.0.1:1",
        "::1:8787",
        "127.0.0.1:8787 "
      ]
    ) {
      assert.isUndefined(parseListen(text), text)
    }
    assert.deepStrictEqual(["10.0.0.5", "fe80::1", "::ffff:10.0.0.5"].map(isIpAddress), [true, true, true])
    assert.deepStrictEqual(["10.0.0", "10.0.0.05", "proxy", "fe80::1%eth0", ":"].map(isIpAddress), [
      false,
      false,
      false,
      false,
      false
    ])
  })

  it("is reached by our own programs", () => {
    const urls = ["0.0.0.0:1", "[::]:1", "10.0.0.5:1", "[fd00::5]:1"].map((text) => {
      const listen = parseListen(text)
      return listen === undefined ? undefined : ownUrl(listen)
    })
    assert.deepStrictEqual(urls, ["http://127.0.0.1:1", "http://[::1]:1", "http://10.0.0.5:1", "http://[fd00::5]:1"])
  })
})

describe("who may connect", () => {
  it("this machine, whatever the spelling; the trusted proxy; nobody else", () => {
    for (const peer of ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"]) {
      assert.isTrue(mayConnect(peer, undefined, undefined), peer)
      assert.isTrue(isLoopback(peer))
    }
    assert.isTrue(mayConnect("10.0.0.5", "10.0.0.5", undefined))
    assert.isFalse(mayConnect("10.0.0.6", "10.0.0.5", undefined))
    assert.isFalse(mayConnect(undefined, "10.0.0.5", "10.0.0.9"))
    for (const peer of ["10.0.0.9", "::ffff:10.0.0.9"]) assert.isTrue(mayConnect(peer, "10.0.0.5", "10.0.0.9"))
    assert.isTrue(mayConnect("fd00:0:0:0::9", "fd00::5", "fd00::9"))
    assert.isFalse(mayConnect("10.0.0.90", "10.0.0.5", "10.0.0.9"))
  })

  it("everybody but this machine asks for what is public only", () => {
    for (const path of ["/events", "/interactive", "/files/abc"]) assert.isTrue(mayAsk("10.0.0.9", "10.0.0.5", path))
    for (const path of ["/v2", "/healthz", "/", "/events/", "/eventsx", "/files", "//events", "/v2/files/"]) {
      assert.isFalse(mayAsk("10.0.0.9", "10.0.0.5", path), path)
      assert.isTrue(mayAsk("127.0.0.1", "10.0.0.5", path), path)
    }
  })
})
