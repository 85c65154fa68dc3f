/** The closed list of reasons for which a request to GitHub is refused. The journal, the thread and `km policy test` name them. */

export const denyRules = {
  "request.malformed": "The request is not one that GitHub's own clients make.",
  "route.unknown": "The route, field or mutation is in no table: what is not known is refused.",
  "route.capability": "The profile does not have the capability that the route needs.",
  "route.never": "No sandbox may do this: it changes who may do what, or acts where nobody judges.",
  "repository.unlisted": "The repository is not one of the profile's.",
  "repository.lost": "The profile names the repository, but the App's installation does not show it.",
  "repository.readonly": "Nothing may be pushed: the profile allows no ref.",
  "repository.public": "The repository may only be read, without a token.",
  "ref.malformed": "The name is not one that git takes for a ref.",
  "ref.unlisted": "No pattern of the profile names the ref.",
  "ref.denied": "A pattern of the profile that begins with ! names the ref.",
  "ref.delete": "The profile does not allow deleting refs.",
  "ref.force": "The profile does not allow moving a ref to where it does not fast-forward.",
  "ref.together": "Another ref of the same push is refused, and a pack cannot be divided.",
  "push.malformed": "The push is not written as git writes one.",
  "push.certificate": "Signed pushes are not taken: their commands are not where others look for them.",
  "push.option": "A push option has characters that are not taken, or is too long.",
  "push.limit": "The push has more refs than are taken at once.",
  "body.malformed": "The body is not what the route takes.",
  "body.limit": "The body is larger than what is judged.",
  "lookup.missing": "GitHub does not show what the request is about.",
  "graphql.malformed": "The document is not GraphQL, or selects no single operation.",
  "graphql.field": "A field is not open, or leads out of the sandbox's repositories.",
  "graphql.mutation": "The mutation is in no table: what is not known is refused.",
  "graphql.limit": "The document is larger or deeper than what is judged."
} as const satisfies Readonly<Record<string, string>>

export type DenyRule = keyof typeof denyRules
