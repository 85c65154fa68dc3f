/** The codes of the GitHub App and its tokens; `docs/errors.md` lists the same. */

/** For `docs/errors.md`. */
export const errorCodes: ReadonlyArray<{ readonly code: string; readonly what: string; readonly remedy: string }> = [
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
  }
]
