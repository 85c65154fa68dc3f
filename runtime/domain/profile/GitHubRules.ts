/** The rules of `spec.sourceAccess.github`: a pattern that nobody could mean is found when it is written, not when it refuses. */
import * as Result from "effect/Result"
import { parseRefPattern } from "../github/RefPatterns.ts"
import { parseRepositoryPattern } from "../github/Repositories.ts"
import type { Profile } from "./Profile.ts"
import type { ProfileCode, ProfileFinding } from "./ProfileErrors.ts"

const group = ["spec", "sourceAccess", "github"]

const finding = (
  severity: ProfileFinding["severity"],
  code: ProfileCode,
  path: ReadonlyArray<string | number>,
  message: string
): ProfileFinding => ({ severity, code, path: [...group, ...path], message })

/** `ghe.example.com/owner/repo` without its host. */
const withoutHost = (pattern: string): string => {
  const parts = pattern.split("/")
  return parts.length === 3 && parts[0]?.includes(".") === true ? parts.slice(1).join("/") : pattern
}

const wrong = (
  code: ProfileCode,
  key: string,
  texts: ReadonlyArray<string>,
  parse: (text: string) => Result.Result<unknown, string>
): ReadonlyArray<ProfileFinding> =>
  texts.flatMap((text, index) =>
    Result.match(parse(text), {
      onSuccess: () => [],
      onFailure: (why) => [finding("error", code, [key, index], why)]
    })
  )

/** `heads/main` would be the branch `refs/heads/heads/main`. */
const halfNamed = (texts: ReadonlyArray<string>): ReadonlyArray<ProfileFinding> =>
  texts.flatMap((text, index) => {
    const [, kind, rest] = /^!?(heads|tags)\/(.+)$/u.exec(text) ?? []
    return kind === undefined || rest === undefined ? [] : [
      finding(
        "warning",
        "KM-PRO-110",
        ["allowedRefs", index],
        `${JSON.stringify(text)} is a branch of that whole name; write ${kind === "heads" ? rest : `refs/tags/${rest}`}`
      )
    ]
  })

export const gitHubFindings = (
  { github }: Profile["spec"]["sourceAccess"]
): Readonly<Record<"errors" | "warnings", ReadonlyArray<ProfileFinding>>> => {
  const switched = (["allowDelete", "allowForce"] as const).filter((name) => github[name])
  const pushes = github.allowedRefs.some((text) => !text.startsWith("!"))
  return {
    errors: [
      ...wrong("KM-PRO-042", "allowedRefs", github.allowedRefs, parseRefPattern),
      ...wrong("KM-PRO-043", "publicRead", github.publicRead, (text) => parseRepositoryPattern(withoutHost(text)))
    ],
    warnings: [
      ...(pushes ?
        [] :
        switched.map((name) =>
          finding("warning", "KM-PRO-109", [name], "has no effect: no ref may be pushed; name some in allowedRefs")
        )),
      ...halfNamed(github.allowedRefs)
    ]
  }
}
