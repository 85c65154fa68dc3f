/** Why there is no connection for Socket Mode, or was none for a while: each state with its code and what to do. */

export const socketErrors = {
  link_disabled: {
    code: "KM-SLK-060",
    what: "Socket Mode is switched off in the Slack app's settings",
    remedy: "switch it on under Socket Mode on the app's page; the bridge looks again every 10 minutes, km up at once"
  },
  auth: {
    code: "KM-SLK-061",
    what: "Slack does not accept the app-level token",
    remedy: "make one with the scope connections:write on the app's page and store it under slack/app-token"
  },
  too_many_websockets: {
    code: "KM-SLK-062",
    what: "Slack allows 10 connections for an app, and others hold them",
    remedy: "end other programs that use this app's token, or give them an app of their own"
  },
  no_app_token: {
    code: "KM-SLK-063",
    what: "no app-level token is stored, which Socket Mode needs",
    remedy: "store the token xapp-… under slack/app-token"
  },
  wrong_app: {
    code: "KM-SLK-064",
    what: "the app-level token belongs to another Slack app than this install",
    remedy: "store the token of the install's own app under slack/app-token"
  },
  unreachable: {
    code: "KM-SLK-065",
    what: "Slack cannot be reached for a connection",
    remedy:
      "check the host's network and DNS, and that its firewall lets wss://*.slack.com out; the bridge goes on trying"
  },
  rate_limited: {
    code: "KM-SLK-066",
    what: "Slack asks to wait before another connection is opened",
    remedy: "nothing to do; the bridge waits as long as Slack says"
  },
  silent: {
    code: "KM-SLK-067",
    what: "a connection gave no sign of life for 45 s and was given up",
    remedy: "nothing to do once; if it repeats, look for a firewall that forgets idle connections"
  },
  dropped: {
    code: "KM-SLK-068",
    what: "a connection broke off without notice",
    remedy: "nothing to do once; if it repeats, check the host's network"
  },
  refused: {
    code: "KM-SLK-069",
    what: "Slack refused to open a connection",
    remedy: "read Slack's own word in the bridge's log with km logs bridge"
  }
} as const satisfies Record<string, { readonly code: string; readonly what: string; readonly remedy: string }>

/** What keeps a connection away. */
export type SocketTrouble = keyof typeof socketErrors

/** What `apps.connections.open` says of a token that will not get better by itself. */
const hopeless: ReadonlySet<string> = new Set([
  "not_authed",
  "invalid_auth",
  "account_inactive",
  "token_revoked",
  "token_expired",
  "user_removed_from_team",
  "team_disabled",
  "not_allowed_token_type",
  "missing_scope",
  "no_permission",
  "org_login_required",
  "ekm_access_denied",
  "access_denied",
  "forbidden_team",
  "app_uninstalled"
])

/** Slack's error word of a refused `apps.connections.open`, as one of our states. */
export const troubleOfRefusal = (error: string): SocketTrouble =>
  hopeless.has(error) ? "auth" : /socket_mode/.test(error) ? "link_disabled" : "refused"
