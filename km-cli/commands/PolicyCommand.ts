/** The commands of `km policy`: names, flags and help. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"

const load = () => Effect.promise(() => import("./Policy.ts"))

const test = Command.make(
  "test",
  {
    reference: Argument.String("sandbox").pipe(
      Argument.withDescription("Id, alias, or a prefix that fits only one; or --profile"),
      Argument.optional
    ),
    profile: Flag.String("profile").pipe(
      Flag.optional,
      Flag.withDescription("A profile's YAML file instead of a sandbox's")
    ),
    push: Flag.String("push").pipe(
      Flag.optional,
      Flag.withDescription("A ref that is pushed, `main` or `refs/tags/v1`; needs --repo")
    ),
    repo: Flag.String("repo").pipe(Flag.optional, Flag.withDescription("The repository that is pushed to, owner/repo")),
    delete: Flag.Boolean("delete").pipe(Flag.withDefault(false), Flag.withDescription("The push deletes the ref")),
    force: Flag.Boolean("force").pipe(
      Flag.withDefault(false),
      Flag.withDescription("The push moves the ref to where it does not fast-forward")
    ),
    request: Flag.String("request").pipe(
      Flag.optional,
      Flag.withDescription("A request, `PATCH /repos/o/r/git/refs/heads/main` or `GET https://github.com/…`")
    ),
    body: Flag.String("body").pipe(Flag.optional, Flag.withDescription("The JSON body of the request"))
  },
  (input) => Effect.flatMap(load(), (module) => module.policyTest(input))
).pipe(
  Command.withShortDescription("Whether a push or a request would pass"),
  Command.withDescription(
    "Asks the judge that the proxy asks, without a network: the App counts as installed on the repositories that are " +
      "asked about. Exits 0 when it would pass, 6 when it would be refused. What only GitHub can say, such as the base of " +
      "a pull request, is named and left open."
  )
)

export const policy = Command.make("policy").pipe(
  Command.withShortDescription("What sandboxes may do on GitHub"),
  Command.withDescription("What sandboxes may do on GitHub, as their profiles say."),
  Command.withSubcommands([test])
)
