/**
 * The repositories themselves: bare ones on disk, served by Git's own `git http-backend`, so that clones and pushes are real.
 * They are not the emulator's: of what is pushed here, its REST API sees the refs alone (`RefRoutes`). Who may do what is the caller's to decide.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { execFile, spawn } from "node:child_process"
import type * as http from "node:http"
import * as path from "node:path"
import process from "node:process"
import { promisify } from "node:util"
import type { Repository } from "./AppTable.ts"
import type { RepositorySeed } from "./GithubOptions.ts"

/** Git is missing, or could not make a repository. */
export class GitFailed extends Schema.TaggedError<GitFailed>()("GitFailed", {
  operation: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `git ${this.operation} failed: ${this.detail}`
  }
}

const run = promisify(execFile)

/** Nothing of the person's own settings. */
const environment = (directory: string): Record<string, string> => ({
  PATH: process.env["PATH"] ?? "/usr/bin:/bin",
  HOME: directory,
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_CONFIG_GLOBAL: "/dev/null",
  LANG: "C"
})

/** The directory of a repository goes by its number, so that a rename moves nothing. */
const directoryOf = (root: string, { id }: Pick<Repository, "id">): string => path.join(root, `${id}.git`)

const data = (text: string): string => `data ${Buffer.byteLength(text)}\n${text}\n`

/** The first commit as a stream of `git fast-import`. */
const firstCommit = (name: string, files: Readonly<Record<string, string>>): string => {
  const entries = Object.entries({ "README.md": `# ${name}\n`, ...files })
  return [
    "commit refs/heads/main\n",
    "committer Local GitHub <noreply@github.invalid> 1767225600 +0000\n",
    data("Initial commit"),
    ...entries.map(([file, text]) => `M 100644 inline ${file}\n${data(text)}`)
  ].join("")
}

/** Makes the bare repository with one commit on `main`; not left half-way, since Git would go on writing. */
export const makeRepository = (
  root: string,
  repository: Repository,
  { files = {} }: RepositorySeed
): Effect.Effect<void, GitFailed> =>
  Effect.uninterruptible(Effect.tryPromise({
    try: async () => {
      const directory = directoryOf(root, repository)
      const options = { env: environment(root) }
      await run("git", ["init", "--quiet", "--bare", "--initial-branch=main", directory], options)
      await run("git", ["-C", directory, "config", "http.receivepack", "true"], options)
      await run("git", ["-C", directory, "config", "receive.advertisePushOptions", "true"], options)
      const imported = run("git", ["-C", directory, "fast-import", "--quiet"], options)
      imported.child.stdin?.end(firstCommit(repository.name, files))
      await imported
    },
    catch: (cause) =>
      new GitFailed({ operation: "init", detail: cause instanceof Error ? cause.message : "unknown cause" })
  }))

/** Git's output in the repository, trimmed; undefined where it ends with another code than 0. */
export const askGit = (
  root: string,
  repository: Repository,
  args: ReadonlyArray<string>
): Effect.Effect<string | undefined, GitFailed> =>
  Effect.callback((resume) => {
    const child = execFile(
      "git",
      ["-C", directoryOf(root, repository), ...args],
      { env: environment(root) },
      (error, out) => {
        if (error === null) return resume(Effect.succeed(out.trim()))
        resume(
          typeof error.code === "number"
            ? Effect.undefined
            : Effect.fail(new GitFailed({ operation: args[0] ?? "", detail: error.message }))
        )
      }
    )
    return Effect.sync(() => void child.kill("SIGKILL"))
  })

/** The head of a CGI answer: `Status: 200 OK`, header lines, an empty line. Source: RFC 3875, section 6. */
const readHead = (text: string): { readonly status: number; readonly headers: Array<readonly [string, string]> } => {
  const headers = text.split(/\r?\n/u).flatMap((line) => {
    const at = line.indexOf(":")
    return at < 0 ? [] : [[line.slice(0, at), line.slice(at + 1).trim()] as const]
  })
  const status = headers.find(([name]) => name.toLowerCase() === "status")?.[1]
  return {
    status: status === undefined ? 200 : Number.parseInt(status, 10),
    headers: headers.filter(([name]) => name.toLowerCase() !== "status")
  }
}

const blankLine = /\r?\n\r?\n/u

/**
 * Answers by `git http-backend`, streaming both ways; ends when the answer has left or the client is gone. `service` is
 * `/info/refs`, `/git-upload-pack` or `/git-receive-pack`. Source: git-http-backend(1).
 */
export const serveGit = (
  root: string,
  repository: Repository,
  service: string,
  request: http.IncomingMessage,
  response: http.ServerResponse
): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    const child = spawn("git", ["http-backend"], {
      stdio: ["pipe", "pipe", "ignore"],
      env: {
        ...environment(root),
        GIT_PROJECT_ROOT: root,
        GIT_HTTP_EXPORT_ALL: "1",
        PATH_INFO: `/${repository.id}.git${service}`,
        REQUEST_METHOD: request.method ?? "GET",
        QUERY_STRING: new URL(request.url ?? "/", "http://127.0.0.1").search.slice(1),
        CONTENT_TYPE: request.headers["content-type"] ?? "",
        REMOTE_ADDR: "127.0.0.1",
        REMOTE_USER: "local",
        ...(request.headers["content-length"] === undefined
          ? {}
          : { CONTENT_LENGTH: request.headers["content-length"] }),
        ...(request.headers["content-encoding"] === undefined
          ? {}
          : { HTTP_CONTENT_ENCODING: request.headers["content-encoding"] }),
        ...(typeof request.headers["git-protocol"] === "string"
          ? { GIT_PROTOCOL: request.headers["git-protocol"] }
          : {})
      }
    })
    let head = Buffer.alloc(0)
    let started = false
    child.on("error", () => response.destroy())
    // The backend may answer and end before it has read everything.
    child.stdin.on("error", () => undefined)
    request.pipe(child.stdin)
    child.stdout.on("data", (chunk: Buffer) => {
      if (started) {
        if (!response.write(chunk)) child.stdout.pause()
        return
      }
      head = Buffer.concat([head, chunk])
      const text = head.toString("latin1")
      const end = blankLine.exec(text)
      if (end === null) return
      started = true
      const { headers, status } = readHead(text.slice(0, end.index))
      for (const [name, value] of headers) response.setHeader(name, value)
      response.writeHead(status)
      response.write(head.subarray(end.index + end[0].length))
    })
    response.on("drain", () => child.stdout.resume())
    child.stdout.on("end", () => started ? response.end() : response.destroy())
    response.once("close", () => {
      child.kill("SIGKILL")
      resume(Effect.void)
    })
    return Effect.sync(() => void child.kill("SIGKILL"))
  })
