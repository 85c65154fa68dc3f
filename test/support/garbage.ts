/** What nobody should type or store, but somebody will: values for flags and arguments, and files. */
import * as fs from "node:fs"
import * as path from "node:path"

/** Above what a parser that calls itself can do. */
const levels = 20_000

/** Each is a word of a command line, or the value of a variable. */
export const badValues: ReadonlyArray<string> = [
  "",
  " ",
  "-",
  "--",
  "-1",
  "0",
  "1.5",
  "1e309",
  "-1e309",
  "1e300",
  "NaN",
  "Infinity",
  "0x10",
  "9007199254740993",
  "18446744073709551616",
  "0h",
  "999999999999d",
  "true",
  "null",
  "undefined",
  "__proto__",
  "constructor",
  "toString",
  "demo",
  "sb-",
  "operator",
  "a\0b",
  "\u0001\u001b[31m",
  "\r\n",
  "a\nb",
  "\ud800",
  "\u202e\u2066",
  "🤷🏽‍♀️",
  "ﬀ",
  "Ω".repeat(300),
  "x".repeat(10_000),
  "../../../../etc/passwd",
  "/dev/null",
  "~nobody/x",
  "%s%n",
  "$(false)",
  "'",
  "\"",
  "\\",
  "[]",
  "{}",
  "*",
  "a@b",
  "<a@b.c>",
  "tomorrow at 25:00",
  "every 0 minutes",
  "cron(* * * * * *)",
  "rate(99999999999 days)",
  "9999999999-99-99T99:99Z"
]

const bomb = ["a: &a [x, x, x, x, x, x, x, x, x]"].concat(
  Array.from("bcdefghi", (name, at) => `${name}: &${name} [${Array(9).fill(`*${"abcdefgh"[at]}`).join(", ")}]`)
).join("\n")

/** Contents by a name that says what is wrong. */
export const badContents: Readonly<Record<string, string | Uint8Array>> = {
  empty: "",
  "a blank": " \n",
  "null": "null",
  "a scalar": "42",
  "a text": "'text'",
  "an array": "[1, 2]",
  "an object": "{\"a\": 1}",
  "two documents": "a: 1\n---\nb: 2\n",
  "a tab": "a:\n\tb: 1\n",
  "a byte order mark": "\ufeffapiVersion: x\n",
  "keys twice": "a: 1\na: 2\n",
  "an alias to itself": "a: &a [*a]\n",
  "an alias to itself, in a map": "metadata: &a\n  name: *a\n",
  "an alias to itself, at the root": "&a\nspec: *a\n",
  "an alias to itself, as a key": "&a {*a : 1}\n",
  "an unknown alias": "a: *b\n",
  "a merge of itself": "a: &a\n  <<: *a\n",
  "a bomb": bomb,
  "deep arrays": "[".repeat(levels),
  "deep arrays, closed": `${"[".repeat(levels)}${"]".repeat(levels)}`,
  "deep maps": "{a: ".repeat(levels),
  "deep blocks": "- ".repeat(levels),
  "deep keys": "? ".repeat(levels),
  "a bit deep": `spec: ${"[".repeat(500)}${"]".repeat(500)}\n`,
  "a prototype": "__proto__: {a: 1}\nconstructor: {prototype: 1}\n",
  "a tag": "a: !!js/function 'function () {}'\n",
  "an odd tag": "!<tag:yaml.org,2002:binary> '!!'\n",
  "odd numbers": "spec: {lifecycle: {ttl: .nan}, agent: {turnTimeout: 1e309}}\ninstall: .inf\n",
  "no keys": "? [a, b]\n: c\n? {a: b}\n: d\n",
  "a date": "metadata: 2001-12-14t21:59:43.10-05:00\n",
  "control characters": "a: \u0000\u0007\n",
  bytes: Uint8Array.from({ length: 4_096 }, (_, at) => at * 31 % 256),
  "no UTF-8": Uint8Array.of(0x61, 0x3a, 0x20, 0xff, 0xfe, 0xc3, 0x28),
  "UTF-16": Buffer.from("\ufeffinstall: km\n", "utf16le"),
  large: `a: ${"x".repeat(2_000_000)}\n`
}

/** Writes them all, and adds what is no file to read. Paths by what is wrong. */
export const badFiles = (directory: string): Readonly<Record<string, string>> => {
  const files = Object.entries(badContents).map(([name, content]): readonly [string, string] => {
    const file = path.join(directory, `${name.replaceAll(/[ ,]+/g, "-")}.yaml`)
    fs.writeFileSync(file, content)
    return [name, file]
  })
  const unreadable = path.join(directory, "loop.yaml")
  fs.symlinkSync(unreadable, unreadable)
  return {
    ...Object.fromEntries(files),
    "a directory": directory,
    missing: path.join(directory, "missing.yaml"),
    "below a file": path.join(directory, "empty.yaml", "x"),
    "a link to itself": unreadable,
    "no end": "/dev/zero",
    "a long name": path.join(directory, "n".repeat(300))
  }
}
