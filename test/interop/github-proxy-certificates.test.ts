/** The sandbox's authority and its certificates, judged by the programs that must believe them, and must not. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync, spawn } from "node:child_process"
import { X509Certificate } from "node:crypto"
import * as Fs from "node:fs"
import type { AddressInfo } from "node:net"
import * as Path from "node:path"
import * as Tls from "node:tls"
import { integer, objectId, sequence, time } from "../../plugins/github-proxy/certificates/Der.ts"
import { makeAuthority } from "../../plugins/github-proxy/certificates/SandboxAuthority.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const names = ["github.com", "githubusercontent.com"]
const day = 86_400_000
const start = Date.parse("2026-11-30T12:00:00Z")

const hex = (bytes: Buffer): string => bytes.toString("hex")

describe("DER", () => {
  it("writes what the standard's examples have", () => {
    assert.strictEqual(hex(integer(Buffer.from([0]))), "020100")
    assert.strictEqual(hex(integer(Buffer.from([0x7f]))), "02017f")
    assert.strictEqual(hex(integer(Buffer.from([0x80]))), "02020080")
    assert.strictEqual(hex(integer(Buffer.from([0, 0, 1]))), "020101")
    assert.strictEqual(hex(objectId("1.2.840.113549")), "06062a864886f70d")
    assert.strictEqual(hex(sequence(Buffer.alloc(127))).slice(0, 4), "307f")
    assert.strictEqual(hex(sequence(Buffer.alloc(128))).slice(0, 6), "308180")
    assert.strictEqual(hex(sequence(Buffer.alloc(256))).slice(0, 8), "30820100")
    assert.strictEqual(time(start).toString("latin1", 2), "261130120000Z")
    assert.strictEqual(time(Date.parse("2049-12-31T23:59:59Z"))[0], 0x17)
    assert.strictEqual(time(Date.parse("2050-01-01T00:00:00Z")).toString("latin1", 2), "20500101000000Z")
  })
})

describe("the sandbox's authority", () => {
  it.live("is what openssl calls well made, for its names alone", () =>
    Effect.gen(function*() {
      const directory = yield* temporaryDirectory
      const authority = makeAuthority(names, () => Date.now())
      const file = (name: string, text: string) => {
        Fs.writeFileSync(Path.join(directory, name), text)
        return Path.join(directory, name)
      }
      const ca = file("ca.pem", authority.certificate)
      const verify = (host: string) => {
        try {
          execFileSync("openssl", [
            "verify",
            "-x509_strict",
            "-purpose",
            "sslserver",
            "-CAfile",
            ca,
            file("leaf.pem", authority.leafFor(host))
          ], {
            stdio: "pipe"
          })
          return true
        } catch {
          return false
        }
      }
      for (
        const host of ["github.com", "api.github.com", "objects.githubusercontent.com", `${"a".repeat(60)}.github.com`]
      ) {
        assert.isTrue(verify(host), host)
      }
      for (const host of ["example.com", "evilgithub.com", "github.com.evil.com", "registry.npmjs.org"]) {
        assert.isFalse(verify(host), host)
      }
      // A leaf is no authority.
      const text = execFileSync("openssl", ["x509", "-in", ca, "-noout", "-text"], { encoding: "utf8" })
      assert.match(text, /X509v3 Name Constraints: critical/)
      assert.match(text, /X509v3 Basic Constraints: critical\s+CA:TRUE, pathlen:0/)
    }))

  it.live("is refused by curl, git and Node for names that are not its own", () =>
    Effect.gen(function*() {
      const directory = yield* temporaryDirectory
      const authority = makeAuthority(names, () => Date.now())
      const bundle = Path.join(directory, "ca.pem")
      Fs.writeFileSync(bundle, authority.certificate)
      const server = Tls.createServer(
        { SNICallback: (name, answer) => answer(null, authority.contextFor(name)) },
        (socket) => {
          socket.on("error", () => undefined)
          socket.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        }
      )
      server.on("tlsClientError", () => undefined)
      yield* Effect.acquireRelease(
        Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
        () => Effect.sync(() => void server.close())
      )
      const { port } = server.address() as AddressInfo
      const node = (host: string) =>
        Effect.callback<boolean>((resume) => {
          const socket = Tls.connect({ host: "127.0.0.1", port, servername: host, ca: [authority.certificate] })
          socket.once("secureConnect", () => {
            socket.destroy()
            resume(Effect.succeed(true))
          })
          socket.once("error", () => resume(Effect.succeed(false)))
        })
      assert.deepStrictEqual(
        yield* Effect.forEach(["api.github.com", "example.com"], node),
        [true, false]
      )
      const fetched = (program: string, host: string) =>
        Effect.callback<boolean>((resume) => {
          const [command = "", ...args] = program === "curl"
            ? ["curl", "-sS", "--cacert", bundle, "--resolve", `${host}:${port}:127.0.0.1`, `https://${host}:${port}/`]
            : ["git", "-c", `http.curloptResolve=${host}:${port}:127.0.0.1`, "ls-remote", `https://${host}:${port}/a/b`]
          const child = spawn(command, args, {
            env: { PATH: "/usr/bin:/bin", GIT_SSL_CAINFO: bundle, GIT_TERMINAL_PROMPT: "0" },
            stdio: ["ignore", "ignore", "pipe"]
          })
          let said = ""
          child.stderr.on("data", (chunk: Buffer) => said += chunk.toString())
          child.once("close", () => resume(Effect.succeed(!/certificate|SSL|verif/i.test(said))))
        })
      for (const program of ["curl", "git"]) {
        assert.isTrue(yield* fetched(program, "api.github.com"), program)
        assert.isFalse(yield* fetched(program, "example.com"), program)
      }
    }))

  it("keeps a certificate per name until it is old, and never lets it outlive the authority", () => {
    let at = start
    const authority = makeAuthority(names, () => at)
    const first = authority.leafFor("github.com")
    assert.strictEqual(authority.leafFor("github.com"), first)
    at += 27 * day
    assert.strictEqual(authority.leafFor("github.com"), first)
    at += day
    const second = authority.leafFor("github.com")
    assert.notStrictEqual(second, first)
    const last = new X509Certificate(authority.certificate).validToDate.getTime()
    at = last - day
    assert.isAtMost(new X509Certificate(authority.leafFor("github.com")).validToDate.getTime(), last)
  })

  it("differs from every other, in key and in name", () => {
    const [a, b] = [makeAuthority(names, () => start), makeAuthority(names, () => start)]
    assert.notStrictEqual(a.certificate, b.certificate)
    const [left, right] = [new X509Certificate(a.certificate), new X509Certificate(b.leafFor("github.com"))]
    assert.isFalse(right.checkIssued(left))
    assert.isTrue(new X509Certificate(a.leafFor("github.com")).checkIssued(left))
  })
})
