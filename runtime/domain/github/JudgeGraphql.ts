/** GitHub's GraphQL API. */
import { denied } from "./Denials.ts"
import type { JudgeGraphql } from "./GitHubPolicy.ts"

export const judgeGraphql: JudgeGraphql = () => denied("route.never", "GraphQL is open to no sandbox")
