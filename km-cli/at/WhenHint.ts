/**
 * What a person may have meant by a time that was refused. These are only proposals: whoever shows one reads it first, so
 * that every hint is a time that is taken.
 */

type Rewrite = (text: string) => ReadonlyArray<string>

const replaced = (pattern: RegExp, by: string): Rewrite => (text) => [text.replace(pattern, by)]

/** `9.30`, `9h30`, `9.30pm`; not the date 3.5.2026. */
const dotted = replaced(/(?<![\d./])(\d{1,2})[.h](\d{2})(?![\d./])/g, "$1:$2")

/** `at 9`: one of two; `at 15` and `at 0`: only one. */
const bareHour: Rewrite = (text) => {
  const [whole, before = "", hours = ""] =
    /^(.*?\bat |)(\d{1,2})(?=$| (?:on|today|tomorrow|next|this|[a-z]+day)\b)/.exec(text) ?? []
  if (whole === undefined) return []
  const hour = Number(hours)
  const rest = text.slice(whole.length)
  return hour === 0 || hour > 12
    ? [`${before}${hours}:00${rest}`]
    : [`${before}${hours}am${rest}`, `${before}${hours}pm${rest}`]
}

const timesOfDay = ["9am", "3pm", "9pm"].map((clock): Rewrite => (text) => [`${text} at ${clock}`])

/** `05/03/2026`, `3.5.2026`: the third of May or the fifth of March. */
const slashed: Rewrite = (text) => {
  const [whole, a = "", b = "", year = ""] = /\b(\d{1,2})[/.](\d{1,2})[/.](\d{4})\b/.exec(text) ?? []
  if (whole === undefined) return []
  const rest = text.replace(whole, " ").replaceAll(/\s+/g, " ").replace(/\bon\b/, "").trim()
  const iso = (month: string, day: string) => `${year}-${month.padStart(2, "0")}-${day.padStart(2, "0")}`
  return [...new Set([iso(a, b), iso(b, a)])].map((date) => `${date} ${rest}`.trim())
}

const rewrites: ReadonlyArray<Rewrite> = [
  dotted,
  replaced(/\s*o['’]?\s?clock\b/, ""),
  slashed,
  replaced(/^(?:on )?((?:sun|mon|tues|wednes|thurs|fri|satur)day)s\b/, "every $1"),
  replaced(/^(.+?) on ((?:sun|mon|tues|wednes|thurs|fri|satur)day)s$/, "every $2 at $1"),
  replaced(/^every week\b|^weekly\b(?! on)/, "every monday"),
  replaced(/^every month\b(?! on)|^monthly\b(?! on)/, "monthly on the 1st"),
  replaced(/^every other day\b.*$/, "every 2 days"),
  replaced(/^every other (hour|minute)\b/, "every 2 $1s"),
  replaced(/^(minutes?|hours?|days?)$/, "every $1"),
  bareHour,
  replaced(/^(?:right )?now$/, "in 1 minute"),
  replaced(/\b24:00\b/, "midnight"),
  ...timesOfDay
]

/** Proposals for a lower-case text with single spaces, the likeliest first; two slips at once are put right, too. */
export const proposalsFor = (text: string): ReadonlyArray<string> => {
  const once = rewrites.flatMap((rewrite) => rewrite(text)).filter((other) => other !== text)
  const twice = rewrites.flatMap((rewrite) => once.flatMap((first) => rewrite(first)))
  return [...new Set([...once, ...twice])].filter((other) => other !== text)
}
