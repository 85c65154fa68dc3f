/** The proxy's door in a real jail: what programs of an agent reach by it, and that nothing they can read is a token. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Jail } from "../../runtime/adapters/jail/Bubblewrap.ts"
import { pluginWorld } from "../plugins/github-proxy/pluginWorld.ts"
import { bashScript, runOf } from "../support/ScriptedModel.ts"

type World = Effect.Success<ReturnType<typeof pluginWorld>>

/** What a shell of the agent prints. */
const inJail = ({ agent, contribution, directories }: World, script: string) =>
  Effect.gen(function*() {
    const process = yield* agent.start(
      runOf(directories, bashScript(`exec 2>&1\n${script}`), { contributions: [contribution] })
    )
    const outcome = yield* process.outcome
    return outcome._tag === "Answered" ? outcome.text : JSON.stringify(outcome)
  })

const identity = "export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@a GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@a\n"

describe("an agent behind the proxy", () => {
  it.live("clones, pushes what it may, and is told why it may not push elsewhere", () =>
    Effect.gen(function*() {
      const world = yield* pluginWorld()
      world.gitHub.repository("my-org/api")
      world.gitHub.repository("evil/repo")
      const said = yield* inJail(
        world,
        `${identity}
        git clone -q git@github.com:my-org/api.git && cd api && cat README
        git config --global some.key works && git config --global some.key
        git commit -q --allow-empty -m second && git push -q origin HEAD:refs/heads/feature/x && echo pushed
        git push origin HEAD:main
        git clone https://github.com/evil/repo`
      )
      assert.include(said, "my-org/api\nworks\npushed")
      assert.include(
        said,
        "! [remote rejected] HEAD -> main (km: refs/heads/main may not be moved; allowed are: feature/*"
      )
      assert.include(said, "remote: km: refused: evil/repo is not a repository of this sandbox")
      const journal = [...world.audit.chains.values()].flat().join("\n")
      assert.include(journal, "\"rule\":\"ref.unlisted\",\"verdict\":\"refused\"")
      assert.include(journal, "\"subject\":\"evil/repo\",\"rule\":\"repository.unlisted\"")
    }))

  it.live("has programs that believe the proxy without being told how", () =>
    Effect.gen(function*() {
      const world = yield* pluginWorld()
      world.gitHub.repository("my-org/api")
      const url = "https://api.github.com/repos/my-org/api"
      const said = yield* inJail(
        world,
        `
        curl -sS ${url} && echo " curl"
        env -u SSL_CERT_FILE -u CURL_CA_BUNDLE curl -sS ${url} && echo " curl by the system's"
        python3 -c 'import urllib.request; print(urllib.request.urlopen("${url}").read().decode(), "python")'
        ${process.execPath} -e 'fetch("${url}").then((r) => r.text()).then((t) => console.log(t, "node"))'
        ${process.execPath} -e 'require("https").get("${url}", (r) => r.on("data", (d) => console.log(String(d), "node https")))'`
      )
      for (const program of ["curl", "curl by the system's", "python", "node", "node https"]) {
        assert.include(said, `{"full_name":"my-org/api"} ${program}`)
      }
    }))

  it.live("reaches named hosts and no others, by whatever way", () =>
    Effect.gen(function*() {
      const world = yield* pluginWorld()
      world.gitHub.intercept = ({ host }, request, response) => {
        if (host !== "registry.example.com") return false
        request.resume()
        response.end("the registry")
        return true
      }
      const said = yield* inJail(
        world,
        `
        curl -sSk https://registry.example.com/ && echo
        curl -sS https://elsewhere.example.com/
        curl -sS http://elsewhere.example.com/
        curl -sS --noproxy '*' https://registry.example.com/
        curl -sS https://140.82.112.3/
        curl -sS -x "" --connect-timeout 2 http://169.254.169.254/
        timeout 2 git ls-remote ssh://git@ssh.github.com:443/my-org/api || echo no ssh`
      )
      assert.include(said, "the registry")
      assert.include(said, "km: refused: elsewhere.example.com:80 is not in spec.network.allowedHosts")
      assert.include(said, "Could not resolve host: registry.example.com")
      assert.include(said, "no ssh")
      assert.notInclude(said, "elsewhere.example.com/\n200")
      assert.deepStrictEqual([...new Set(world.gitHub.resolved)], ["registry.example.com"])
    }))

  it.live("uses gh, whose token is a word, and reads there why something is refused", () =>
    Effect.gen(function*() {
      const world = yield* pluginWorld()
      const said = yield* inJail(
        world,
        `
        gh api repos/my-org/api && echo " gh"
        gh api repos/evil/repo
        gh api -X PATCH repos/my-org/api/git/refs/heads/main -f sha=${"1".repeat(40)} -F force=true
        gh api graphql -f query='mutation { createRef(input: {repositoryId: "x", name: "refs/heads/x", oid: "${
          "1".repeat(40)
        }"}) { clientMutationId } }'`
      )
      assert.include(said, "{\"full_name\":\"my-org/api\"} gh")
      assert.include(said, "gh: km: refused: evil/repo is not a repository of this sandbox")
      assert.match(said, /gh: km: refused: refs\/heads\/main may not be (moved|forced)/)
      assert.lengthOf(said.split("gh: km: refused"), 4)
      // The second is the proxy's own: where the node is that the mutation names.
      assert.deepStrictEqual(world.gitHub.requests.map(({ headers, url }) => [url, headers.authorization]), [
        ["/repos/my-org/api", "Bearer ghs_memory_read_1"],
        ["/graphql", "Bearer ghs_memory_read_1"]
      ])
    }))

  it.live("can read no token anywhere", () =>
    Effect.gen(function*() {
      const world = yield* pluginWorld()
      world.gitHub.repository("my-org/api")
      const said = yield* inJail(
        world,
        `
        git clone -q https://github.com/my-org/api.git && echo cloned
        { env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline; } 2>/dev/null | tr '\\0' '\\n' > /tmp/seen
        find / -xdev -type f -size -4M \\( -path /usr -o -path /proc -o -path /sys \\) -prune -o -type f -newermt '-1 hour' -print0 2>/dev/null |
          xargs -0 cat >> /tmp/seen 2>/dev/null
        grep -c 'ghs''_memory' /tmp/seen
        grep -o 'held-by-the-proxy' /tmp/seen | head -1`
      )
      assert.include(said, "cloned\n0\nheld-by-the-proxy")
    }))
})

describe("an agent without a jail", () => {
  it.live("is given the proxy with a credential of its own", () =>
    Effect.gen(function*() {
      const world = yield* pluginWorld({ jail: Jail.layerUnconfined("this machine has none") })
      world.gitHub.repository("my-org/api")
      const said = yield* inJail(
        world,
        `
        git ls-remote https://github.com/my-org/api.git | cut -f2
        curl -sS -x "$(echo "$HTTPS_PROXY" | sed 's/:[^:@]*@/:guess@/')" https://api.github.com/repos/my-org/api`
      )
      assert.include(said, "refs/heads/main")
      assert.match(said, /CONNECT tunnel failed, response 407|HTTP code 407 from proxy/)
    }))
})
