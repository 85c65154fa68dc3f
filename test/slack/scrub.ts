/** What may be kept of an exchange with a real workspace: its shape, with every id, name, address and secret replaced. */

/** Ids of teams, people, bots, apps, channels, files and what else Slack numbers. */
const ids = /\b([TUWBACDGFIE])0?[A-Z0-9]{8,}\b/g

/** Fields whose text is a person's or a workspace's own. */
const personal =
  /^(name|name_normalized|real_name|display_name|team|user|url|creator_name|email|first_name|last_name|title|phone|domain|username|bot_name|app_name|permalink|previous_names)$/

/** One scrubber a run: the same id becomes the same placeholder everywhere. */
export const scrubber = (secrets: ReadonlyArray<string>): (value: unknown) => unknown => {
  const known = new Map<string, string>()
  const placeholder = (kind: string, id: string): string => {
    const found = known.get(id) ?? `${kind}${String(known.size + 1).padStart(8, "0")}`
    known.set(id, found)
    return found
  }
  const ofText = (text: string): string =>
    secrets.filter((secret) => secret !== "")
      .reduce((left, secret) => left.replaceAll(secret, "SECRET"), text)
      .replaceAll(/xox[a-z]-[\w-]+|xapp-[\w-]+/g, "SECRET")
      .replaceAll(/\bwss?:\/\/[^\s"]+/g, "wss://example.invalid/link")
      .replaceAll(/[\w.+-]+@[\w-]+(\.[\w-]+)+/g, "person@example.invalid")
      .replaceAll(/https?:\/\/(?!slack\.com\/api\/)[^\s"]+/g, "https://example.invalid/")
      .replaceAll(ids, (id, kind: string) => placeholder(kind, id))
  const scrub = (value: unknown, key = ""): unknown => {
    if (typeof value === "string") return personal.test(key) && ofText(value) === value ? "a name" : ofText(value)
    if (Array.isArray(value)) return value.map((one) => scrub(one, key))
    if (typeof value !== "object" || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, scrub(one, name)]))
  }
  return (value) => scrub(value)
}
