/**
 * Go, cargo and Java in the jail: packages and pages by the proxy, without being told of it, from the registry that the profile
 * names and from no other. Of the system's own: from Debian they are 280 MB (`golang-go cargo default-jdk-headless gcc`; cargo
 * from 1.68 on, which reads a registry over HTTP), so they are not among what `make test-interop` installs.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { clientWorld } from "../support/clientWorld.ts"
import { registryUrl } from "../support/registry.ts"

const said = (program: string, ...args: ReadonlyArray<string>): string =>
  execFileSync(program, args, { encoding: "utf8" }).trim()

/** Where a program lies, links followed. One that is not here is a test that fails. */
const found = (program: string, ...elsewhere: ReadonlyArray<string>): string => {
  const path = elsewhere.find((place) => Fs.existsSync(place)) ??
    execFileSync("/bin/sh", ["-c", `command -v ${program} || true`], { encoding: "utf8" }).trim()
  if (path === "") throw new Error(`make test-toolchains needs ${program}, which is not on PATH`)
  return Fs.realpathSync(path)
}

/** What is below the system's own directories is in every jail. */
const outsideSystem = (directory: string): ReadonlyArray<string> => directory.startsWith("/usr/") ? [] : [directory]

const onlyTheRegistry = ({ gitHub }: { readonly gitHub: { readonly resolved: ReadonlyArray<string> } }) =>
  assert.deepStrictEqual([...new Set(gitHub.resolved)], ["registry.example.com"])

describe("Go in the jail", () => {
  it.live("has a module from the module proxy that its profile names, and none from another", () =>
    Effect.gen(function*() {
      const go = found("go", "/usr/local/go/bin/go")
      const world = yield* clientWorld({ readOnly: outsideSystem(said(go, "env", "GOROOT")) })
      const text = yield* world.says(`
        export GOPROXY=${registryUrl}/go GOSUMDB=off GOTOOLCHAIN=local GOCACHE=/tmp/cache GOPATH=/tmp/go CGO_ENABLED=0
        mkdir main && cd main && ${go} mod init example.com/main 2> /dev/null
        printf 'package main\\n\\nimport "registry.example.com/sample"\\n\\nfunc main() { println(sample.Said) }\\n' > main.go
        ${go} get registry.example.com/sample@v1.0.0 && ${go} run .
        GOPROXY=https://elsewhere.example.com ${go} get elsewhere.example.com/other@v1.0.0 || echo "no other"`)
      assert.include(text, "from go")
      assert.include(text, "no other")
      onlyTheRegistry(world)
    }))
})

describe("cargo in the jail", () => {
  it.live("has a crate from the registry that its profile names, and none from another", () =>
    Effect.gen(function*() {
      // Behind rustup's own programs, which look for it in a home that the jail does not show.
      const sysroot = said(found("rustc").replace(/\/rustup$/u, "/rustc"), "--print", "sysroot")
      const world = yield* clientWorld({ readOnly: outsideSystem(sysroot) })
      const text = yield* world.says(`
        export PATH=${sysroot}/bin:$PATH CARGO_HOME=/tmp/cargo CARGO_NET_RETRY=0
        mkdir -p cargo main/src other/src
        printf '[registries.km]\\nindex = "sparse+${registryUrl}/cargo/"\\n' > cargo/config.toml
        printf '[registries.other]\\nindex = "sparse+https://elsewhere.example.com/"\\n' >> cargo/config.toml
        package() { printf '[package]\\nname = "main"\\nversion = "0.1.0"\\nedition = "2021"\\n\\n[dependencies]\\n'; }
        { package; echo 'km-sample = { version = "1.0.0", registry = "km" }'; } > main/Cargo.toml
        { package; echo 'other = { version = "1.0.0", registry = "other" }'; } > other/Cargo.toml
        echo 'fn main() { println!("{}", km_sample::said()); }' > main/src/main.rs
        echo 'fn main() {}' > other/src/main.rs
        (cd main && cargo run -q)
        (cd other && cargo run -q) || echo "no other"`)
      assert.include(text, "from cargo")
      assert.include(text, "no other")
      onlyTheRegistry(world)
    }))
})

const fetcher = `
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

public class Fetch {
  public static void main(String[] urls) throws Exception {
    for (String url : urls) {
      try {
        URI uri = URI.create(url);
        System.out.print("URL " + new String(uri.toURL().openStream().readAllBytes()));
        HttpRequest request = HttpRequest.newBuilder(uri).build();
        System.out.print("client " + HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body());
      } catch (java.io.IOException refused) {
        System.out.println("no other: " + refused.getMessage());
      }
    }
  }
}
`

describe("Java in the jail", () => {
  it.live("reads pages by both of its clients, and believes the sandbox's authority", () =>
    Effect.gen(function*() {
      const javac = found("javac")
      const home = Path.dirname(Path.dirname(javac))
      const world = yield* clientWorld({ readOnly: outsideSystem(home) })
      const { workspace } = world.directories
      Fs.writeFileSync(Path.join(workspace, "Fetch.java"), fetcher)
      said(javac, "-d", workspace, Path.join(workspace, "Fetch.java"))
      const text = yield* world.says(
        `${home}/bin/java -cp ${workspace} Fetch ${registryUrl}/plain https://elsewhere.example.com/`
      )
      assert.include(text, "URL the registry")
      assert.include(text, "client the registry")
      assert.match(text, /no other: .*403/)
      onlyTheRegistry(world)
    }))
})
