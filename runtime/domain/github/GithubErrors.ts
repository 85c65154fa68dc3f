/** The codes of the GitHub App and its tokens; `docs/errors.md` lists the same. */

/** What keeps a sandbox from being made with the repositories that its profile lists. */
export const grantCodes = [
  "KM-GHA-010",
  "KM-GHA-011",
  "KM-GHA-012",
  "KM-GHA-013",
  "KM-GHA-014",
  "KM-GHA-015",
  "KM-GHA-016"
] as const

/** For `docs/errors.md`. */
export const errorCodes: ReadonlyArray<{ readonly code: string; readonly what: string; readonly remedy: string }> = [
  {
    code: "KM-GHA-001",
    what: "A GitHub App cannot be made or used from here.",
    remedy: "Follow the reason; `km github status` shows the Apps of this install."
  },
  {
    code: "KM-GHA-002",
    what: "The browser did not come back from GitHub with a new App, or came back with something else.",
    remedy: "Run `km github` again and finish in the browser that it opens."
  },
  {
    code: "KM-GHA-003",
    what: "The GitHub App was made, but could not be taken over; nothing of it is kept here.",
    remedy: "Delete the App at the address that is named, correct the reason, and run `km github` again."
  },
  {
    code: "KM-GHA-004",
    what: "There is a GitHub App for this account already.",
    remedy: "Use it, or replace it with `km github` and --force."
  },
  {
    code: "KM-GHA-005",
    what: "What was found at GitHub contradicts what this install holds; nothing was changed.",
    remedy: "Look at what is named, then run `km configure github --discover --force`."
  },
  {
    code: "KM-GHA-010",
    what: "No GitHub App of this install is installed on the owner of a repository that the profile lists.",
    remedy: "Make one with `km github` or install it there, then run `km configure github --discover`."
  },
  {
    code: "KM-GHA-011",
    what: "The GitHub App does not see a repository that the profile lists.",
    remedy: "Check the name, and let the App see it in the account's settings on GitHub."
  },
  {
    code: "KM-GHA-012",
    what: "An allowed repository is no owner/repo and no owner/*.",
    remedy: "Correct spec.sourceAccess.github.allowedRepos."
  },
  {
    code: "KM-GHA-013",
    what: "A profile asks for more than 500 repositories of one owner.",
    remedy: "List those that are needed: GitHub puts 500 into one token at most."
  },
  {
    code: "KM-GHA-014",
    what: "The GitHub App's installation that a new sandbox needs is suspended.",
    remedy: "Its owner ends that in the account's settings on GitHub."
  },
  {
    code: "KM-GHA-015",
    what: "The GitHub App's installation lacks a permission that the profile needs.",
    remedy: "Its owner accepts the App's permissions on GitHub, or the profile asks for less."
  },
  {
    code: "KM-GHA-016",
    what: "GitHub could not be asked for a new sandbox's repositories or tokens.",
    remedy: "`km github status` says what is wrong; then run the same command again."
  },
  {
    code: "KM-GHA-020",
    what: "The repository is not among those that the sandbox was created with.",
    remedy: "Add it to spec.sourceAccess.github.allowedRepos and create the sandbox anew."
  },
  {
    code: "KM-GHA-021",
    what: "The sandbox may read the repository and not write to it.",
    remedy: "Name the refs that it may push in spec.sourceAccess.github.allowedRefs and create the sandbox anew."
  },
  {
    code: "KM-GHA-022",
    what: "The GitHub App is no longer installed where the repository is.",
    remedy: "Install it there again; tokens come back by themselves."
  },
  {
    code: "KM-GHA-023",
    what: "The GitHub App's installation is suspended.",
    remedy: "Its owner ends that in the account's settings on GitHub; tokens come back by themselves."
  },
  {
    code: "KM-GHA-024",
    what: "The GitHub App's installation lacks a permission that is needed.",
    remedy: "Its owner accepts the App's permissions in the account's settings on GitHub."
  },
  {
    code: "KM-GHA-025",
    what: "There is no token for GitHub that is still good, since GitHub or the control plane does not answer.",
    remedy: "It passes by itself; `km doctor` says what is wrong if it does not."
  },
  {
    code: "KM-GHA-026",
    what: "A sandbox's token for GitHub is older than 50 minutes and could not be renewed.",
    remedy: "`km github status` says what is wrong; the token ends ten minutes later."
  }
]
