import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import {
  Capability,
  type Fact,
  type Facts,
  type GitHubPolicy,
  lookupKey
} from "../../../../runtime/domain/github/GitHubPolicy.ts"
import graphql from "../../../../runtime/domain/github/graphql.json" with { type: "json" }
import { mutationRules } from "../../../../runtime/domain/github/GraphqlMutations.ts"
import { api, web } from "../../../support/gitHubPolicy.ts"
import { judged, word } from "../../../support/judged.ts"

const all = Capability.literals
const head = "c".repeat(40)

const nodes: Readonly<Record<string, Extract<Fact, { readonly kind: "node" }>>> = {
  R: { kind: "node", type: "Repository", repositoryId: api.id },
  R2: { kind: "node", type: "Repository", repositoryId: web.id },
  RX: { kind: "node", type: "Repository", repositoryId: 999 },
  REF: { kind: "node", type: "Ref", repositoryId: api.id, ref: "refs/heads/main" },
  REFO: { kind: "node", type: "Ref", repositoryId: api.id, ref: "refs/heads/other" },
  I: { kind: "node", type: "Issue", repositoryId: api.id },
  IX: { kind: "node", type: "Issue", repositoryId: 999 },
  U: { kind: "node", type: "User" },
  PR: {
    kind: "node",
    type: "PullRequest",
    repositoryId: api.id,
    pullRequest: {
      number: 7,
      base: { repositoryId: api.id, ref: "refs/heads/main" },
      head: { repositoryId: api.id, ref: "refs/heads/feature/x", sha: head }
    }
  },
  PRO: {
    kind: "node",
    type: "PullRequest",
    repositoryId: api.id,
    pullRequest: {
      number: 8,
      base: { repositoryId: api.id, ref: "refs/heads/other" },
      head: { repositoryId: 999, ref: "refs/heads/main", sha: head }
    }
  }
}
const known: Facts = new Map<string, Fact>([
  ...Object.entries(nodes).map(([id, fact]) => [lookupKey({ kind: "node", id }), fact] as const),
  [lookupKey({ kind: "node", id: "GONE" }), { kind: "missing" }]
])

const ask = (
  query: string,
  variables?: unknown,
  policy: Partial<GitHubPolicy> = {},
  facts: Facts = known,
  more: object = {}
) =>
  judged("POST /graphql", { capabilities: all, ...policy }, {
    body: { query, ...(variables === undefined ? {} : { variables }), ...more },
    facts
  })
const asked = (...given: Parameters<typeof ask>): string => word(ask(...given))
const forwarded = (...given: Parameters<typeof ask>): { query: string; variables: Record<string, unknown> } => {
  const verdict = ask(...given)
  assert.strictEqual(verdict._tag, "Allowed", JSON.stringify(verdict))
  return JSON.parse(verdict._tag === "Allowed" ? verdict.body ?? "" : "")
}
const repo = (inner: string) => `{repository(owner:"my-org",name:"api"){${inner}}}`

const post = (body: unknown, line = "POST /graphql") => word(judged(line, {}, { body }))

const input = (name: string, given: object, inner = "clientMutationId") =>
  [`mutation($i:X!){${name}(input:$i){${inner}}}`, { i: given }] as const

describe("queries", () => {
  const open: ReadonlyArray<string> = [
    repo("id name owner{login} pullRequests(first:1){nodes{title author{login} headRefName}}"),
    repo(
      "...r} } fragment r on Repository{id defaultBranchRef{name target{... on Commit{history(first:1){nodes{message}}}}}"
    ).replace(/\}\}$/u, "}"),
    `query Q($o:String!,$n:String="api"){repository(owner:$o,name:$n){issue(number:1){body comments(first:9){nodes{body author{login ... on User{id name}}}}}}}`,
    "{viewer{login}}",
    "{rateLimit{cost remaining} __type(name:\"PullRequest\"){fields(includeDeprecated:true){name}}}",
    `{node(id:"PR"){... on PullRequest{title commits(last:1){nodes{commit{oid}}}}}}`,
    `{nodes(ids:["I","PR"]){id ... on Issue{title}}}`,
    repo("parent{id name owner{login} hasIssuesEnabled defaultBranchRef{name}}"),
    repo(
      "pullRequest(number:1){headRepository{id name} headRepositoryOwner{id login} closingIssuesReferences(first:9){nodes{id number url repository{id name owner{id login}}}} reviewRequests(first:9){nodes{requestedReviewer{__typename ... on User{login} ... on Team{organization{login} name slug}}}}}"
    )
  ]
  for (const query of open) {
    it(`are open: ${query.slice(0, 90)}`, () => {
      assert.strictEqual(asked(query, { o: "My-Org" }), "read")
    })
  }

  const refused: ReadonlyArray<readonly [query: string, rule: string]> = [
    [`{repository(owner:"evil",name:"x"){id}}`, "repository.unlisted"],
    [`{a:repository(owner:"my-org",name:"api"){id} b:repository(owner:"evil",name:"x"){id}}`, "repository.unlisted"],
    [`{...f} fragment f on Query{repository(owner:"evil",name:"x"){id}}`, "repository.unlisted"],
    [`{... on Query{... on Query{repository(owner:"evil",name:"x"){id}}}}`, "repository.unlisted"],
    [`{repository(owner:"evil",name:"x") @skip(if:true){id}}`, "repository.unlisted"],
    [`{repository(owner:"nodejs",name:"node"){id}}`, "repository.public"],
    [`query($o:String="evil"){repository(owner:$o,name:"x"){id}}`, "repository.unlisted"],
    [`{repository(owner:"my-org",owner:"evil",name:"api"){id}}`, "graphql.malformed"],
    [`{repository(owner:["my-org"],name:"api"){id}}`, "graphql.malformed"],
    ["{search(query:\"x\",type:CODE,first:1){codeCount}}", "graphql.field"],
    ["{resource(url:\"https://github.com/evil/x\"){url}}", "graphql.field"],
    ["{organization(login:\"evil\"){name}}", "graphql.field"],
    ["{user(login:\"evil\"){name}}", "graphql.field"],
    ["{viewer{repositories(first:1){nodes{name}}}}", "graphql.field"],
    ["{viewer{organizations(first:1){nodes{name}}}}", "graphql.field"],
    ["{repositoryOwner(login:\"evil\"){login}}", "graphql.field"],
    ["{constructor{x}}", "graphql.field"],
    [repo("owner{repositories(first:9){nodes{name}}}"), "graphql.field"],
    [repo("owner{... on Organization{repositories(first:9){nodes{name}}}}"), "graphql.field"],
    [repo("parent{object(expression:\"HEAD:x\"){... on Blob{text}}}"), "graphql.field"],
    [repo("parent{defaultBranchRef{target{oid}}}"), "graphql.field"],
    [repo("forks(first:1){nodes{name}}"), "graphql.field"],
    [repo("templateRepository{issues(first:1){nodes{body}}}"), "graphql.field"],
    [repo("tempCloneToken"), "graphql.field"],
    [repo("deployKeys(first:1){nodes{key}}"), "graphql.field"],
    [repo("collaborators(first:1){nodes{login}}"), "graphql.field"],
    [repo("vulnerabilityAlerts(first:1){nodes{id}}"), "graphql.field"],
    [
      repo("pullRequests(first:1){nodes{headRepository{object(expression:\"x\"){... on Blob{text}}}}}"),
      "graphql.field"
    ],
    [repo("pullRequests(first:1){nodes{headRef{target{... on Commit{message}}}}}"), "graphql.field"],
    [repo("pullRequests(first:1){nodes{author{... on User{repositories(first:1){nodes{name}}}}}}"), "graphql.field"],
    [repo("issues(first:1){nodes{timelineItems(first:1){nodes{__typename}}}}"), "graphql.field"],
    [repo("issues(first:1){nodes{closedByPullRequestsReferences(first:1){nodes{body}}}}"), "graphql.field"],
    [repo("issues(first:1){nodes{repository{object(expression:\"x\"){oid}}}}"), "graphql.field"],
    [repo("invented"), "graphql.field"],
    [repo("id{x}"), "graphql.field"],
    [repo("owner"), "graphql.field"],
    [`{node(id:"RX"){... on Repository{name}}}`, "repository.unlisted"],
    [`{node(id:"U"){... on User{login}}}`, "repository.unlisted"],
    [`{nodes(ids:["I","IX"]){id}}`, "repository.unlisted"],
    [`{node(id:"GONE"){id}}`, "lookup.missing"],
    [`{node(id:"NEW"){id}}`, "needs node NEW"],
    [`{nodes(ids:["N1","N2"]){id}}`, "needs node N1, node N2"],
    [`{node(id:"I"){... on Issue{repository{owner{repositories(first:1){nodes{name}}}}}}}`, "graphql.field"],
    ["query($a:Int,$a:Int){viewer{login}}", "graphql.malformed"],
    ["{rateLimit(dryRun:true,dryRun:false){cost}}", "graphql.malformed"],
    ["subscription{x}", "graphql.malformed"],
    ["{viewer{login}", "graphql.malformed"],
    ["type Query{a:Int}", "graphql.malformed"],
    ["query A{viewer{login}} query B{viewer{login}}", "graphql.malformed"],
    ["{...f} fragment f on Query{...f}", "graphql.malformed"],
    ["{...g}", "graphql.malformed"],
    ["{viewer{login @defer}}", "graphql.malformed"],
    ["{viewer{login}} fragment f on Query{x} fragment f on Query{x}", "graphql.malformed"]
  ]
  for (const [query, rule] of refused) {
    it(`are refused: ${query.slice(0, 90)}: ${rule}`, () => {
      assert.strictEqual(asked(query), rule)
    })
  }

  it("run the operation that is named, and only that one is sent on", () => {
    const query = `query A{viewer{login}} query B{repository(owner:"evil",name:"x"){id}} fragment unused on Query{x}`
    assert.strictEqual(asked(query, undefined, {}, known, { operationName: "B" }), "repository.unlisted")
    const sent = forwarded(query, { secret: 1 }, {}, known, { operationName: "A" })
    assert.notMatch(sent.query, /evil|unused/u)
    assert.deepStrictEqual(sent.variables, {})
    assert.strictEqual(asked(query, undefined, {}, known, { operationName: "C" }), "graphql.malformed")
  })

  it("are one document in one body: no batch, no stored document, nothing in the address", () => {
    assert.strictEqual(post([{ query: "{viewer{login}}" }]), "graphql.malformed")
    assert.strictEqual(post({ extensions: { persistedQuery: { sha256Hash: "x" } } }), "body.malformed")
    assert.strictEqual(post({ variables: {} }), "graphql.malformed")
    assert.strictEqual(post({}, "GET /graphql?query={viewer{login}}"), "request.malformed")
    assert.strictEqual(post({ query: "{viewer{login}}" }, "POST /graphql?x=y"), "request.malformed")
    assert.strictEqual(post({ query: "{viewer{login}}" }, "POST /graphql/x"), "request.malformed")
  })

  it("that are deep or wide, also by fragments in fragments, are refused in time", () => {
    const deep = `${"{a".repeat(20_000)}${"}".repeat(20_000)}`
    assert.strictEqual(asked(deep), "graphql.limit")
    const steps = Array.from(
      { length: 30 },
      (_, index) => `fragment f${index} on Query{...f${index + 1} ...f${index + 1}}`
    )
    assert.strictEqual(asked(`{...f0} ${steps.join(" ")} fragment f30 on Query{viewer{login}}`), "graphql.limit")
    assert.include(["graphql.limit", "graphql.malformed"], asked(`${"{a".repeat(4_000)}${"}".repeat(4_000)}`))
  })

  it.prop("that are any text never pass as a mutation or reach another repository", [Schema.String], ([text]) => {
    assert.notStrictEqual(asked(text), "write")
    assert.strictEqual(
      asked(`{repository(owner:"my-org",name:${JSON.stringify(`api${text}`)}){id}}`) === "read",
      text === "" || /^\.git$/iu.test(text)
    )
  })
})

describe("mutations", () => {
  const oid = "d".repeat(40)
  const zero = "0".repeat(40)

  const table: ReadonlyArray<readonly [name: string, given: object, expected: string]> = [
    ["createRef", { repositoryId: "R", name: "refs/heads/feature/x", oid }, "write"],
    ["createRef", { repositoryId: "R", name: "refs/heads/other", oid }, "ref.unlisted"],
    ["createRef", { repositoryId: "RX", name: "refs/heads/main", oid }, "repository.unlisted"],
    ["createRef", { repositoryId: "I", name: "refs/heads/main", oid }, "body.malformed"],
    ["createRef", { repositoryId: "NEW", name: "refs/heads/main", oid }, "needs node NEW"],
    ["createRef", { repositoryId: ["R"], name: "refs/heads/main", oid }, "body.malformed"],
    ["createRef", { name: "refs/heads/main", oid }, "body.malformed"],
    ["createRef", { repositoryId: "R", name: "refs/heads/main", oid, extra: 1 }, "body.malformed"],
    ["updateRef", { refId: "REF", oid }, "write"],
    ["updateRef", { refId: "REF", oid, force: true }, "ref.force"],
    ["updateRef", { refId: "REFO", oid }, "ref.unlisted"],
    ["updateRefs", { repositoryId: "R", refUpdates: [{ name: "refs/heads/main", afterOid: oid }] }, "write"],
    ["updateRefs", { repositoryId: "R", refUpdates: [{ name: "refs/heads/main", afterOid: zero }] }, "ref.delete"],
    ["updateRefs", {
      repositoryId: "R",
      refUpdates: [{ name: "refs/heads/main", afterOid: oid }, { name: "refs/heads/other", afterOid: oid }]
    }, "ref.unlisted"],
    [
      "updateRefs",
      { repositoryId: "R", refUpdates: [{ name: "refs/heads/main", afterOid: oid, force: true }] },
      "ref.force"
    ],
    ["deleteRef", { refId: "REF" }, "ref.delete"],
    ["createCommitOnBranch", { branch: { id: "REFO" } }, "ref.unlisted"],
    ["createCommitOnBranch", { branch: { id: "REF" } }, "write"],
    ["createCommitOnBranch", { branch: { id: "NEW" } }, "needs node NEW"],
    ["createCommitOnBranch", { branch: { repositoryNameWithOwner: "My-Org/API", branchName: "main" } }, "write"],
    [
      "createCommitOnBranch",
      { branch: { repositoryNameWithOwner: "my-org/api", branchName: "refs/heads/other" } },
      "ref.unlisted"
    ],
    [
      "createCommitOnBranch",
      { branch: { repositoryNameWithOwner: "evil/x", branchName: "main" } },
      "repository.unlisted"
    ],
    [
      "createCommitOnBranch",
      { branch: { id: "REF", repositoryNameWithOwner: "my-org/api", branchName: "other" } },
      "body.malformed"
    ],
    ["mergeBranch", { repositoryId: "R", base: "other", head: "main" }, "ref.unlisted"],
    ["mergePullRequest", { pullRequestId: "PR" }, "write"],
    ["mergePullRequest", { pullRequestId: "PRO" }, "ref.unlisted"],
    ["enablePullRequestAutoMerge", { pullRequestId: "PRO" }, "ref.unlisted"],
    ["enqueuePullRequest", { pullRequestId: "PRO" }, "ref.unlisted"],
    ["updatePullRequestBranch", { pullRequestId: "PRO" }, "repository.unlisted"],
    ["updatePullRequest", { pullRequestId: "PR", title: "t" }, "write"],
    ["updatePullRequest", { pullRequestId: "PR", baseRefName: "other" }, "ref.unlisted"],
    ["createPullRequest", { repositoryId: "R", baseRefName: "main", headRefName: "feature/x", title: "t" }, "write"],
    [
      "createPullRequest",
      { repositoryId: "R", baseRefName: "main", headRefName: "evil:x", title: "t" },
      "repository.unlisted"
    ],
    [
      "createPullRequest",
      { repositoryId: "R", headRepositoryId: "R2", baseRefName: "main", headRefName: "x" },
      "repository.unlisted"
    ],
    ["createLinkedBranch", { issueId: "I", name: "other", oid }, "ref.unlisted"],
    ["createLinkedBranch", { issueId: "I", oid }, "body.malformed"],
    ["addComment", { subjectId: "I", body: "b" }, "write"],
    ["addComment", { subjectId: "IX", body: "b" }, "repository.unlisted"],
    ["addComment", { subjectId: "U", body: "b" }, "repository.unlisted"],
    ["addPullRequestReview", { pullRequestId: "PR", event: "APPROVE" }, "write"]
  ]
  for (const [name, given, expected] of table) {
    it(`${name} ${JSON.stringify(given).slice(0, 110)}: ${expected}`, () => {
      assert.strictEqual(asked(...input(name, given)), expected)
    })
  }

  it("that are in no table are refused, whatever they are called", () => {
    for (
      const name of [
        "revertPullRequest",
        "deleteRepository",
        "createRepository",
        "cloneTemplateRepository",
        "updateRepository",
        "archiveRepository",
        "transferIssue",
        "createDeployment",
        "createCheckRun",
        "createRepositoryRuleset",
        "deleteBranchProtectionRule",
        "approveDeployments",
        "startRepositoryMigration",
        "addStar",
        "toString"
      ]
    ) assert.strictEqual(asked(...input(name, {})), "graphql.mutation", name)
  })

  it("need their capability, and a ref that may be moved", () => {
    for (const [name, rule] of mutationRules) {
      const expected = rule.needs === "push" ? "repository.readonly" : "route.capability"
      assert.strictEqual(asked(...input(name, {}), { capabilities: [], allowedRefs: [] }), expected, name)
    }
    const [query, variables] = input("addPullRequestReview", { pullRequestId: "PR", event: "APPROVE" })
    assert.strictEqual(asked(query, variables, { capabilities: ["pulls"] }), "route.capability")
  })

  it("answer with types that are in the table", () => {
    const types = Object.keys(graphql.types)
    const missing = [...mutationRules.keys()].filter((name) =>
      !types.some((type) => type.toLowerCase() === `${name}payload`.toLowerCase())
    )
    assert.deepStrictEqual(missing, [])
    assert.strictEqual(
      asked(...input("addComment", { subjectId: "I", body: "b" }, "commentEdge{node{url author{login}}}")),
      "write"
    )
    assert.strictEqual(
      asked(
        ...input(
          "addComment",
          { subjectId: "I", body: "b" },
          "commentEdge{node{repository{object(expression:\"x\"){id}}}}"
        )
      ),
      "graphql.field"
    )
  })

  it("are each judged, under any name and in any place", () => {
    const one = `a:updateRef(input:{refId:"REF",oid:"${oid}"}){clientMutationId}`
    const other = `b:updateRef(input:{refId:"REFO",oid:"${oid}"}){clientMutationId}`
    assert.strictEqual(asked(`mutation{${one}}`), "write")
    assert.strictEqual(asked(`mutation{${one} ${other}}`), "ref.unlisted")
    assert.strictEqual(asked(`mutation{${one} ... on Mutation{${other}}}`), "graphql.malformed")
    assert.strictEqual(asked(`mutation{...f} fragment f on Mutation{${other}}`), "graphql.malformed")
    assert.strictEqual(
      asked(`mutation{updateRef(input:{refId:"REF",refId:"REFO",oid:"${oid}"}){clientMutationId}}`),
      "graphql.malformed"
    )
    assert.strictEqual(asked(`mutation{updateRef(input:{refId:"REF"},x:1){clientMutationId}}`), "graphql.malformed")
    assert.strictEqual(
      asked(`mutation($r:ID="REFO"){updateRef(input:{refId:$r,oid:"x"}){clientMutationId}}`),
      "ref.unlisted"
    )
    assert.strictEqual(
      asked(`mutation{createCommitOnBranch(input:{branch:{id:"REF",id:"REFO"}}){clientMutationId}}`),
      "graphql.malformed"
    )
    assert.strictEqual(asked(`mutation{updateRef(input:null){clientMutationId}}`), "graphql.malformed")
  })

  it("are sent on with what they left to a default, in a variable as in the document", () => {
    assert.deepStrictEqual(forwarded(...input("mergePullRequest", { pullRequestId: "PR" })).variables, {
      i: { pullRequestId: "PR", expectedHeadOid: head }
    })
    assert.match(
      forwarded(`mutation{mergePullRequest(input:{pullRequestId:"PR"}){clientMutationId}}`).query,
      new RegExp(`expectedHeadOid: "${head}"`, "u")
    )
    const sent = forwarded(
      `mutation($f:Boolean){updateRef(input:{refId:"REF",oid:"x",force:$f}){clientMutationId}}`
    )
    assert.deepStrictEqual([sent.variables, /force: \$f/u.test(sent.query)], [{ f: false }, true])
    assert.strictEqual(
      asked(`mutation($f:Boolean=true){updateRef(input:{refId:"REF",oid:"x",force:$f}){clientMutationId}}`),
      "ref.force"
    )
  })

  it("name what they move, and of which repositories", () => {
    const verdict = ask(...input("mergePullRequest", { pullRequestId: "PR" }))
    assert.deepStrictEqual(verdict._tag === "Allowed" && [verdict.moves, verdict.repositories, verdict.rule], [
      [{ repository: api, ref: "refs/heads/main", change: "update" }],
      [api],
      "mutation mergePullRequest"
    ])
  })
})
