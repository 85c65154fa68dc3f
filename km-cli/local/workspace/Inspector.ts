/**
 * Pages for people: channels, threads, reactions and files, made on the server and refreshed by the browser. They
 * show everything to whoever reaches the loopback port, private channels too: this is a place for trying things.
 */
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type { FrontParts } from "./Front.ts"
import { type Json, objectsOf, textOf, textsOf } from "./Json.ts"
import { channelMessages, type MessageView } from "./Snapshot.ts"

const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll("\"", "&quot;")
    .replaceAll("'", "&#39;")

const style = `body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
a{color:#0a58ca}pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.2rem 0;font:inherit}
article{border-left:3px solid #ddd;padding:.2rem .8rem;margin:.8rem 0}article article{margin:.4rem 0 .4rem 1rem}
small{color:#666}.r{background:#eef;border-radius:.6rem;padding:0 .5rem;margin-right:.3rem}
@media (prefers-color-scheme:dark){body{background:#16181c;color:#ddd}a{color:#8ab4f8}.r{background:#333}}`

const page = (title: string, body: string, refreshSeconds: number) =>
  HttpServerResponse.html(
    `<!doctype html><html lang="en"><head><meta charset="utf-8">${
      refreshSeconds > 0 ? `<meta http-equiv="refresh" content="${refreshSeconds}">` : ""
    }<meta name="viewport" content="width=device-width"><title>${
      escape(title)
    }</title><style>${style}</style></head><body>${body}</body></html>`
  ).pipe(
    HttpServerResponse.setHeader("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'")
  )

const readable = (message: Json): string => {
  const text = textOf(message, "text") ?? ""
  const body = text === "" ? objectsOf(message, "blocks").map((block) => textOf(block, "text") ?? "").join("\n") : text
  return body.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&")
}

const timeOf = (ts: string): string => {
  const millis = Number(ts) * 1000
  return Number.isFinite(millis) ? new Date(millis).toISOString().slice(11, 19) : ts
}

/** Channels and threads at `/` and `/archives/{channel}`, the sign-in page that a download without token meets. */
export const inspector = (parts: FrontParts) => {
  const { state } = parts
  const nameOf = (userId: string | undefined): string => state.people.find(userId ?? "")?.realName ?? userId ?? "?"

  const article = (view: MessageView): string => {
    const { message } = view
    const reactions = objectsOf(message, "reactions").map((reaction) =>
      `<span class="r">:${escape(textOf(reaction, "name") ?? "")}: ${textsOf(reaction, "users").length}</span>`
    )
    const files = objectsOf(message, "files").map((file) =>
      `<div>📎 ${escape(textOf(file, "name") ?? "deleted file")} <small>${
        escape(String(file["size"] ?? ""))
      }</small></div>`
    )
    return `<article id="p${escape(view.ts.replace(".", ""))}"><b>${
      escape(nameOf(textOf(message, "user")))
    }</b> <small>${escape(timeOf(view.ts))}${message["edited"] === undefined ? "" : " (edited)"}</small><pre>${
      escape(readable(message))
    }</pre>${files.join("")}${reactions.join("")}${view.replies.map(article).join("")}</article>`
  }

  const front = () => {
    const items = state.channels.all().map((channel) =>
      `<li><a href="/archives/${escape(channel.id)}">#${escape(channel.name)}</a> <small>${
        escape(
          `${channel.isPrivate ? "private, " : ""}${
            channel.isArchived ? "archived, " : ""
          }${channel.members.size} members`
        )
      }</small></li>`
    )
    const people = state.people.all().map((member) =>
      `<li>${escape(member.realName)} <small>${escape(`${member.name} ${member.userId} ${member.teamId}`)}</small></li>`
    )
    return page(
      state.team.name,
      `<h1>${
        escape(state.team.name)
      }</h1><p>A local workspace. Nothing here survives a restart.</p><h2>Channels</h2><ul>${
        items.join("")
      }</ul><h2>People</h2><ul>${people.join("")}</ul>`,
      5
    )
  }

  return Effect.fnUntraced(function*(path: string) {
    if (path === "/") return front()
    if (path === "/signin") return page("Sign in", "<h1>Sign in to Slack</h1><p>This file needs a token.</p>", 0)
    const id = /^\/archives\/([A-Z0-9]+)(\/p\d+)?$/.exec(path)?.[1]
    const channel = state.channels.find(id ?? "")
    if (channel === undefined) return HttpServerResponse.text("Not found.\n", { status: 404 })
    const messages = yield* channelMessages(state, channel, 50)
    return page(
      `#${channel.name}`,
      `<p><a href="/">All channels</a></p><h1>#${escape(channel.name)}</h1>${messages.map(article).join("")}`,
      2
    )
  })
}
