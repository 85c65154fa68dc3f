/** What a judge must know and the request does not say, asked of GitHub with the read token. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { Fact, Facts, GitHubPolicy, Lookup } from "../../../runtime/domain/github/GitHubPolicy.ts"
import { lookupKey } from "../../../runtime/domain/github/GitHubPolicy.ts"
import {
  type RepositoryQuery,
  type RepositoryTokenRefused,
  type RepositoryTokens,
  tokenRefused
} from "../../../runtime/ports/RepositoryTokens.ts"
import { outsideFailed } from "../outside/Outside.ts"
import { troubleOf, type Upstream } from "../outside/Upstream.ts"
import { gitHubAddress } from "../request/GitHubHosts.ts"

const RepositoryId = Schema.Struct({ id: Schema.Int })
const End = Schema.Struct({ ref: Schema.String, sha: Schema.String, repo: Schema.NullOr(RepositoryId) })

/** Source: GitHub's REST description, "Get a repository", "Get a pull request", "Get a release". */
const decodeRepository = Schema.decodeUnknownOption(
  Schema.fromJsonString(Schema.Struct({ default_branch: Schema.String }))
)
const decodePull = Schema.decodeUnknownOption(
  Schema.fromJsonString(Schema.Struct({ number: Schema.Int, base: End, head: End }))
)
const decodeRelease = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Struct({ tag_name: Schema.String })))
const NodeRepository = Schema.NullOr(Schema.Struct({ databaseId: Schema.NullOr(Schema.Int) }))
const decodeNode = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Struct({
  data: Schema.Struct({
    node: Schema.NullOr(Schema.Struct({
      __typename: Schema.String,
      databaseId: Schema.optionalKey(Schema.NullOr(Schema.Int)),
      repository: Schema.optionalKey(NodeRepository),
      prefix: Schema.optionalKey(Schema.String),
      name: Schema.optionalKey(Schema.String),
      baseRefName: Schema.optionalKey(Schema.String),
      headRefName: Schema.optionalKey(Schema.String),
      headRefOid: Schema.optionalKey(Schema.String),
      number: Schema.optionalKey(Schema.Int),
      baseRepository: Schema.optionalKey(NodeRepository),
      headRepository: Schema.optionalKey(NodeRepository)
    }))
  })
})))

/** Where a node belongs: a repository itself, or what names the repository it is in. */
const nodeDocument = `query($id: ID!) { node(id: $id) { __typename
  ... on Repository { databaseId }
  ... on Ref { prefix name repository { databaseId } }
  ... on PullRequest { number repository { databaseId } baseRefName headRefName headRefOid
    baseRepository { databaseId } headRepository { databaseId } }
  ... on RepositoryNode { repository { databaseId } }
  ... on CheckSuite { repository { databaseId } }
  ... on Release { repository { databaseId } }
  ... on Label { repository { databaseId } }
  ... on Milestone { repository { databaseId } }
  ... on PullRequestReviewThread { repository { databaseId } }
} }`

const lookupMillis = 20_000

const missing: Fact = { kind: "missing" }

const heads = (branch: string): string => `refs/heads/${branch}`

type Asked = { readonly target: string; readonly body?: string }

const askedOf = (lookup: Lookup): Asked => {
  switch (lookup.kind) {
    case "defaultBranch":
      return { target: `/repositories/${lookup.repository.id}` }
    case "pullRequest":
      return { target: `/repositories/${lookup.repository.id}/pulls/${lookup.number}` }
    case "release":
      return { target: `/repositories/${lookup.repository.id}/releases/${lookup.release}` }
    case "node":
      return { target: "/graphql", body: JSON.stringify({ query: nodeDocument, variables: { id: lookup.id } }) }
  }
}

const factOfNode = (text: string): Option.Option<Fact> =>
  Option.map(decodeNode(text), ({ data: { node } }): Fact => {
    if (node === null) return missing
    const { __typename: type, baseRefName, headRefName, headRefOid, number } = node
    const repositoryId = type === "Repository" ? node.databaseId : node.repository?.databaseId
    const ref = type === "Ref" && node.prefix !== undefined ? `${node.prefix}${node.name ?? ""}` : undefined
    return {
      kind: "node",
      type,
      ...(typeof repositoryId === "number" ? { repositoryId } : {}),
      ...(ref === undefined ? {} : { ref }),
      ...(baseRefName === undefined || headRefName === undefined || headRefOid === undefined || number === undefined ?
        {} :
        {
          pullRequest: {
            number,
            base: { repositoryId: node.baseRepository?.databaseId ?? 0, ref: heads(baseRefName) },
            head: { repositoryId: node.headRepository?.databaseId ?? 0, ref: heads(headRefName), sha: headRefOid }
          }
        })
    }
  })

const factOf = (lookup: Lookup, text: string): Option.Option<Fact> => {
  switch (lookup.kind) {
    case "defaultBranch":
      return Option.map(decodeRepository(text), (found): Fact => ({
        kind: "defaultBranch",
        ref: heads(found.default_branch)
      }))
    case "pullRequest":
      return Option.map(decodePull(text), ({ base, head, number }): Fact => ({
        kind: "pullRequest",
        pullRequest: {
          number,
          base: { repositoryId: base.repo?.id ?? 0, ref: heads(base.ref) },
          head: { repositoryId: head.repo?.id ?? 0, ref: heads(head.ref), sha: head.sha }
        }
      }))
    case "release":
      return Option.map(decodeRelease(text), (found): Fact => ({ kind: "release", ref: `refs/tags/${found.tag_name}` }))
    case "node":
      return factOfNode(text)
  }
}

/** The names of a GitHub's API. */
export const apiOf = (github: string): { readonly host: string; readonly rest: string; readonly graphql: string } =>
  github === "github.com"
    ? { host: "api.github.com", rest: "", graphql: "" }
    : { host: gitHubAddress(github).host, rest: "/api/v3", graphql: "/api" }

export interface Ask {
  readonly method: string
  /** Below the API's own prefix. */
  readonly target: string
  readonly body?: string
  readonly access: "read" | "write"
  readonly repository: RepositoryQuery
}

/** A request of our own to the API; the token is replaced once where GitHub refuses it. */
export const askApi = (upstream: Upstream, tokens: RepositoryTokens["Service"], github: string) => {
  const api = apiOf(github)
  const once = (ask: Ask, bearer: string) =>
    Effect.tryPromise({
      try: () =>
        upstream.ask({
          host: api.host,
          port: gitHubAddress(github).port,
          method: ask.method,
          target: `${ask.target === "/graphql" ? api.graphql : api.rest}${ask.target}`,
          headers: {
            accept: "application/vnd.github+json",
            "user-agent": "km-github-proxy",
            "x-github-api-version": "2022-11-28",
            authorization: `Bearer ${bearer}`,
            ...(ask.body === undefined ? {} : { "content-type": "application/json" })
          },
          body: ask.body === undefined ? undefined : Buffer.from(ask.body),
          headersMillis: lookupMillis
        }),
      catch: (error) => tokenRefused("Unavailable", troubleOf(outsideFailed(error)))
    })
  return Effect.fnUntraced(function*(ask: Ask) {
    const token = yield* tokens.token(ask.repository, ask.access)
    const answer = yield* once(ask, Redacted.value(token.token))
    if (answer.status !== 401) return answer
    return yield* once(ask, Redacted.value((yield* tokens.refreshed(token)).token))
  })
}

/** Answers every look-up and adds it to the facts. What GitHub answers with something unknown is a trouble, not a fact. */
export const lookUp = (ask: ReturnType<typeof askApi>, policy: GitHubPolicy) =>
  Effect.fnUntraced(function*(
    lookups: ReadonlyArray<Lookup>,
    known: Facts
  ): Effect.fn.Return<Facts, RepositoryTokenRefused> {
    const found = yield* Effect.forEach(lookups, (lookup) =>
      Effect.gen(function*() {
        const repository = lookup.kind === "node" ? policy.repositories[0] : lookup.repository
        if (repository === undefined) return [lookupKey(lookup), missing] as const
        const { body, target } = askedOf(lookup)
        const answer = yield* ask({
          method: body === undefined ? "GET" : "POST",
          target,
          access: "read",
          repository: { host: policy.host, id: repository.id },
          ...(body === undefined ? {} : { body })
        })
        if (answer.status === 404) return [lookupKey(lookup), missing] as const
        const fact = answer.status === 200 ? factOf(lookup, answer.body.toString("utf8")) : Option.none()
        if (Option.isNone(fact)) {
          return yield* tokenRefused("Unavailable", `GitHub did not say what the request is about (${answer.status})`)
        }
        return [lookupKey(lookup), fact.value] as const
      }), { concurrency: 4 })
    return new Map([...known, ...found])
  })
