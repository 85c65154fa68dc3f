/** Events as Slack sends them, changed in ways that a hostile or a newer Slack might: the same for the same seed. */

/** Numbers in 0..1, the same for the same seed (mulberry32). */
export const seeded = (seed: number) => {
  let state = seed >>> 0
  return (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

type Json = null | boolean | number | string | Array<Json> | { [name: string]: Json }

const whole = (): { [name: string]: Json } => ({
  token: "unused",
  team_id: "T0TEAM0001",
  context_team_id: "T0TEAM0001",
  api_app_id: "A0APP00001",
  type: "event_callback",
  event_id: "Ev0001",
  event_time: 1_700_000_000,
  challenge: null,
  authorizations: [{ enterprise_id: null, team_id: "T0TEAM0001", user_id: "U0BOT00001", is_bot: true }],
  is_ext_shared_channel: false,
  event: {
    type: "message",
    subtype: "thread_broadcast",
    channel: "C0CHAN0001",
    channel_type: "channel",
    user: "U0ADA00001",
    bot_id: null,
    app_id: "A0APP00001",
    text: "hello",
    ts: "1700000000.000100",
    thread_ts: "1700000000.000001",
    event_ts: "1700000000.000100",
    client_msg_id: "0c0ffee0",
    team: "T0TEAM0001",
    user_team: "T0TEAM0001",
    hidden: false,
    deleted_ts: null,
    files: [{ id: "F1", name: "a.txt", mimetype: "text/plain", size: 3, file_access: "visible" }],
    message: { user: "U0ADA00001", text: "hi", ts: "1700000000.000100", thread_ts: null, bot_id: null, subtype: "x" },
    previous_message: { user: "U0ADA00001", text: "h", ts: "1700000000.000100", bot_id: null },
    blocks: [{ type: "rich_text", elements: [] }]
  }
})

/** What may stand anywhere instead: other kinds, ids of other things, nearly right ones, names of what objects inherit. */
const others: ReadonlyArray<Json> = [
  null,
  true,
  false,
  0,
  -0,
  1.5,
  1e308,
  "",
  " ",
  "message",
  "app_mention",
  "event_callback",
  "url_verification",
  "T0TEAM0001",
  "T0TEAM0001\n",
  "t0team0001",
  "E0GRID",
  "C0CHAN0001",
  "D0DIRECT01",
  "U0ADA00001",
  "W0ADA00001",
  "1700000000.000100",
  "1700000000.00010",
  "1700000000.000100\n",
  "\ud800",
  "\u0000",
  "__proto__",
  [],
  [null],
  [[]],
  {},
  { team_id: 1 },
  { type: "message" },
  { length: 1, 0: { team_id: "T0TEAM0001" } }
]
const names = ["__proto__", "constructor", "toString", "hasOwnProperty", "length", "0", "type", "event", "files", "ts"]

const pick = <A>(random: () => number, from: ReadonlyArray<A>): A | undefined =>
  from[Math.floor(random() * from.length)]

/** All objects and arrays inside, the outermost first. */
const holders = (value: Json): ReadonlyArray<{ [name: string]: Json }> => {
  if (value === null || typeof value !== "object") return []
  const inner = Object.values(value).flatMap(holders)
  return Array.isArray(value) ? inner : [value, ...inner]
}

const change = (random: () => number, root: { [name: string]: Json }): void => {
  const holder = pick(random, holders(root))
  if (holder === undefined) return
  const keys = Object.keys(holder)
  const key = pick(random, random() < 0.9 ? keys : names) ?? "type"
  const kind = random()
  // Own properties, as JSON.parse makes them, whatever their name.
  const put = (value: Json | undefined) =>
    Object.defineProperty(holder, key, { value, enumerable: true, configurable: true, writable: true })
  if (kind < 0.35) Reflect.deleteProperty(holder, key)
  else if (kind < 0.9) put(structuredClone(pick(random, others) ?? null))
  else put(structuredClone(holder[pick(random, keys) ?? ""] ?? null))
}

/** One event as `JSON.parse` gives it. Half of them have nothing in them that only edits and files have. */
export const mutatedEvent = (random: () => number): unknown => {
  const root = whole()
  const { event } = root
  if (random() < 0.8 && event !== null && typeof event === "object" && !Array.isArray(event)) {
    for (const name of ["files", "message", "previous_message"]) Reflect.deleteProperty(event, name)
  }
  const changes = Math.floor(random() * 4)
  for (let n = 0; n < changes; n++) change(random, root)
  return JSON.parse(JSON.stringify(root))
}
