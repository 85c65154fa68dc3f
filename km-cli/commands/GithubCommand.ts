/** The commands of `km github` and `km configure github`: names, flags and help. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import { Capability } from "../../runtime/domain/github/GitHubPolicy.ts"

const bare = (name: string, description: string) =>
  Flag.Boolean(name).pipe(Flag.withDefault(false), Flag.withDescription(description))

const status = Command.make(
  "status",
  {},
  () => Effect.flatMap(Effect.promise(() => import("./GithubStatus.ts")), (module) => module.githubStatus())
).pipe(
  Command.withShortDescription("What GitHub says of the Apps now"),
  Command.withDescription(
    "Asks each host with each App's key: whether the key is good, where the App is installed, what is suspended or not " +
      "accepted. Ends with an error if a host does not answer or refuses."
  )
)

const grants = Command.make(
  "grants",
  {
    reference: Argument.String("sandbox").pipe(
      Argument.optional,
      Argument.withDescription("Id, alias, or a prefix that fits only one; all of them if left out")
    )
  },
  (input) => Effect.flatMap(Effect.promise(() => import("./GithubGrants.ts")), (module) => module.githubGrants(input))
).pipe(
  Command.withShortDescription("What sandboxes can reach on GitHub now"),
  Command.withDescription(
    "Each repository of each sandbox, whether it may be written to, how old its token is and when it was last used."
  )
)

const key = Command.make(
  "key",
  {
    file: Argument.String("file").pipe(Argument.withDescription("The .pem that GitHub gave out")),
    host: Flag.String("host").pipe(Flag.optional, Flag.withDescription("Of several Apps the one on this host")),
    owner: Flag.String("owner").pipe(Flag.optional, Flag.withDescription("Of several Apps the one of this account"))
  },
  (input) => Effect.flatMap(Effect.promise(() => import("./GithubKey.ts")), (module) => module.githubKey(input))
).pipe(
  Command.withShortDescription("Use another private key of the App"),
  Command.withDescription(
    "For a key that was made anew in the App's settings on GitHub. It is kept only if GitHub takes it, and used from the " +
      "next token on."
  )
)

export const github = Command.make(
  "github",
  {
    host: Flag.String("host").pipe(
      Flag.withDefault("github.com"),
      Flag.withDescription("github.com, or a GitHub Enterprise host, without https://")
    ),
    org: Flag.String("org").pipe(
      Flag.optional,
      Flag.withDescription("The organisation that shall own the App; your own account if left out")
    ),
    public: bare(
      "public",
      "Other accounts may install it too, strangers among them; --discover takes over only those that are named"
    ),
    force: bare("force", "Replace the App that is there"),
    noBrowser: bare("no-browser", "Only print the address"),
    port: Flag.Int("port").pipe(
      Flag.filter((port) => port >= 0 && port <= 65_535, (port) => `0 to 65535, not ${port}`),
      Flag.withDefault(0),
      Flag.withDescription("Where the browser comes back to on 127.0.0.1; a free one if left out")
    ),
    capability: Flag.Literals("capability", Capability.literals).pipe(
      Flag.atLeast(0),
      Flag.withDescription("What the App may change beyond contents, for profiles that ask for it; repeatable")
    )
  },
  (input) => Effect.flatMap(Effect.promise(() => import("./Github.ts")), (module) => module.github(input))
).pipe(
  Command.withShortDescription("Make a GitHub App for this install; its state and grants"),
  Command.withDescription(
    "Opens a browser at GitHub with everything filled in. The App is private unless --public is given, its key goes " +
      "straight into the secrets, and either all of it is kept or nothing. Install it afterwards where the repositories " +
      "are, and run `km configure github --discover`."
  ),
  Command.withSubcommands([status, grants, key])
)

const configureGithub = Command.make(
  "github",
  {
    discover: bare("discover", "Find every account that the Apps are installed on, and take them over"),
    force: bare("force", "Also take over what contradicts what is there: other installations, accounts that are gone"),
    account: Flag.String("account").pipe(
      Flag.atLeast(0),
      Flag.withDescription("An account to take over of a public App; repeatable")
    )
  },
  (input) =>
    Effect.flatMap(Effect.promise(() => import("./GithubDiscover.ts")), (module) => module.githubDiscover(input))
).pipe(
  Command.withShortDescription("Find where the GitHub Apps are installed"),
  Command.withDescription(
    "Reads every page of every App's installations, reports suspended ones and permissions that are not accepted, and " +
      "writes all accounts at once, or none."
  )
)

export const configure = Command.make("configure").pipe(
  Command.withShortDescription("Take over what other services show"),
  Command.withDescription("Writes settings of the install that are found by asking."),
  Command.withSubcommands([configureGithub])
)
