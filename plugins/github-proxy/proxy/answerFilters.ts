/** Answers that are read or changed on their way down: those that name presigned addresses, and the list of refs before a push. */
import { advertisementFilter } from "../../../runtime/domain/github/Advertisement.ts"
import type { Allowed } from "../../../runtime/domain/github/GitHubPolicy.ts"
import { decodeLfsAnswer, openLfs } from "../request/Downloads.ts"
import { gitHubHost } from "../request/GitHubHosts.ts"
import type { ProxyContext } from "./Context.ts"
import type { BodyFilter, Downward } from "./Forwarding.ts"

/** An answer that names presigned addresses opens them. */
export const opening = (context: ProxyContext, verdict: Allowed, isLfs: boolean): Downward => {
  if (!verdict.download) return {}
  const open = context.downloads.open
  return {
    seen: ({ headers, status }) => {
      const { location } = headers
      if (status >= 301 && status <= 308 && typeof location === "string") {
        const host = URL.parse(location)?.hostname ?? ""
        if (gitHubHost(host, context.github)?.kind === "presigned") open(location, "GET")
      }
    },
    filter: (head) => isLfs && head.status === 200 ? lfsFilter(context) : undefined
  }
}

/** Of LFS answers that are longer nothing is opened. */
const maxLfsBytes = 4 * 1024 * 1024

const lfsFilter = (context: ProxyContext): BodyFilter => {
  const chunks: Array<Buffer> = []
  let size = 0
  return {
    data: (chunk) => {
      size += chunk.length
      if (size <= maxLfsBytes) chunks.push(chunk)
      return Buffer.alloc(0)
    },
    end: () => {
      const body = Buffer.concat(chunks)
      const answer = decodeLfsAnswer(body.toString("utf8"))
      if (answer._tag === "Some") openLfs(context.downloads, answer.value)
      return body
    }
  }
}

/** The list of refs before a push, without the capabilities that are not judged. */
export const advertisement = (): BodyFilter => {
  const filter = advertisementFilter()
  let filtered = false
  return {
    data: (chunk) => {
      if (filtered) return chunk
      const reading = filter.feed(chunk)
      if (reading._tag === "More") return Buffer.alloc(0)
      filtered = true
      return Buffer.from(reading._tag === "Filtered" ? reading.bytes : cannotRead)
    },
    end: () => Buffer.from(filtered ? "" : cannotRead)
  }
}

/** git shows it as `remote error`. */
const cannotRead = "0039ERR km: GitHub's list of refs is not one of git's\n"
