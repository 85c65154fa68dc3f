/**
 * The few ASN.1 values that an X.509 certificate is made of, in DER (ITU-T X.690). Writing only: nothing here reads what
 * others wrote.
 */

const lengthOf = (bytes: number): Buffer => {
  if (bytes < 0x80) return Buffer.from([bytes])
  const digits: Array<number> = []
  for (let rest = bytes; rest > 0; rest = Math.floor(rest / 256)) digits.unshift(rest % 256)
  return Buffer.from([0x80 | digits.length, ...digits])
}

const tagged = (tag: number, ...content: ReadonlyArray<Buffer>): Buffer => {
  const body = Buffer.concat(content)
  return Buffer.concat([Buffer.from([tag]), lengthOf(body.length), body])
}

export const sequence = (...items: ReadonlyArray<Buffer>): Buffer => tagged(0x30, ...items)

export const set = (...items: ReadonlyArray<Buffer>): Buffer => tagged(0x31, ...items)

/** A positive integer from its bytes, the highest first. */
export const integer = (bytes: Uint8Array): Buffer => {
  let start = 0
  while (start < bytes.length - 1 && bytes[start] === 0) start++
  const digits = Buffer.from(bytes.subarray(start))
  // A leading one bit would make it negative.
  return tagged(0x02, (digits[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.from([0]), digits]) : digits)
}

/** DER allows no other byte for true; false is the default everywhere here, and then left out. */
export const booleanTrue: Buffer = tagged(0x01, Buffer.from([0xff]))

export const octets = (bytes: Uint8Array): Buffer => tagged(0x04, Buffer.from(bytes))

/** Whole bytes unless `unused` says how many of the last bits do not count. */
export const bits = (bytes: Uint8Array, unused = 0): Buffer => tagged(0x03, Buffer.from([unused]), Buffer.from(bytes))

/** Dotted numbers, the first of them 0, 1 or 2. */
export const objectId = (dotted: string): Buffer => {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number)
  return tagged(
    0x06,
    ...[first * 40 + second, ...rest].map((arc) => {
      const digits = [arc % 128]
      for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) digits.unshift(left % 128 | 0x80)
      return Buffer.from(digits)
    })
  )
}

export const utf8 = (text: string): Buffer => tagged(0x0c, Buffer.from(text, "utf8"))

/** Whole seconds, in the form that X.509 asks of the year (RFC 5280, 4.1.2.5). */
export const time = (unixMillis: number): Buffer => {
  const digits = new Date(unixMillis).toISOString().replaceAll(/[-:T]|\.\d+/g, "")
  return Number(digits.slice(0, 4)) < 2050
    ? tagged(0x17, Buffer.from(digits.slice(2), "latin1"))
    : tagged(0x18, Buffer.from(digits, "latin1"))
}

/** A context-specific tag around whole values. */
export const explicit = (number: number, ...items: ReadonlyArray<Buffer>): Buffer => tagged(0xa0 | number, ...items)

/** A context-specific tag in place of a primitive value's own. */
export const implicit = (number: number, content: Uint8Array): Buffer => tagged(0x80 | number, Buffer.from(content))
