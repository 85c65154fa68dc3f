/** Answers as GitHub's REST API writes them. */

export interface Answer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
}

export const json = (status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Answer => ({
  status,
  headers: { "content-type": "application/json; charset=utf-8", ...headers },
  body: JSON.stringify(body)
})

/** An error's body. Source: docs.github.com, "Troubleshooting the REST API". */
export const problem = (status: number, message: string): Answer =>
  json(status, { message, documentation_url: "https://docs.github.com/rest", status: String(status) })

/** For a token that GitHub does not know, or knows no more. Source: "Troubleshooting the REST API", 401. */
export const badCredentials = problem(401, "Bad credentials")
/** Also for what the caller may not see. Source: "Troubleshooting the REST API", 404 Not Found. */
export const notFound = problem(404, "Not Found")

export const html = (body: string): Answer => ({
  status: 200,
  headers: { "content-type": "text/html; charset=utf-8" },
  body: `<!doctype html><meta charset="utf-8"><title>Local GitHub</title>${body}`
})

/** Text as part of a page or of an attribute. */
export const escapeHtml = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll("\"", "&quot;")
    .replaceAll("'", "&#39;")

/**
 * One page of a list, with the `Link` header that leads to the others: 30 a page unless asked, 100 at most. Source:
 * docs.github.com, "Using pagination in the REST API".
 */
export const page = <A>(
  items: ReadonlyArray<A>,
  url: URL
): { readonly items: ReadonlyArray<A>; readonly headers: Readonly<Record<string, string>> } => {
  const asked = (name: string, otherwise: number) =>
    Math.trunc(Number(url.searchParams.get(name) ?? otherwise)) || otherwise
  const size = Math.min(Math.max(asked("per_page", 30), 1), 100)
  const number = Math.max(asked("page", 1), 1)
  const last = Math.max(Math.ceil(items.length / size), 1)
  const link = (to: number, rel: string) => {
    const target = new URL(url)
    target.searchParams.set("page", String(to))
    return `<${target.href}>; rel="${rel}"`
  }
  return {
    items: items.slice((number - 1) * size, number * size),
    headers: number < last ? { link: `${link(number + 1, "next")}, ${link(last, "last")}` } : {}
  }
}
