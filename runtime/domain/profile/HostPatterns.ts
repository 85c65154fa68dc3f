/**
 * The hosts that a sandbox may reach through its proxy beside GitHub, as a profile writes them: `registry.npmjs.org`,
 * `*.pypi.org` (everything below, not the name itself), each with `:port` where it is not 443 and 80. Pure; the profile's
 * rules and the proxy judge by the same functions.
 */
import * as Result from "effect/Result"

/** A name that is reached, lower-case and without a dot at its end. */
export interface Destination {
  readonly host: string
  readonly port: number
}

export interface HostPattern {
  /** Lower case; without the `*.`. */
  readonly host: string
  /** Only names below `host`. */
  readonly below: boolean
  /** None: the ports that a URL without one has, 443 and 80. */
  readonly port: number | undefined
}

const label = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/

/** An address in whatever base ends so, and no public name does (WHATWG URL, "ends in a number"). */
const number = /^(?:[0-9]+|0x[0-9a-f]*)$/

/** As DNS has it, of two labels at least, and no address; Unicode names in their `xn--` form. Case does not count. */
export const isHostName = (text: string): boolean => {
  const labels = text.toLowerCase().split(".")
  return text.length <= 253 && labels.length > 1 && labels.every((part) => label.test(part)) &&
    !number.test(labels.at(-1) ?? "")
}

const portOf = (digits: string): number | undefined => {
  const port = /^[1-9][0-9]{0,4}$/.test(digits) ? Number(digits) : 0
  return port >= 1 && port <= 65_535 ? port : undefined
}

/** Why the text is no pattern, or the pattern. */
export const parseHostPattern = (text: string): Result.Result<HostPattern, string> => {
  const [host = "", digits, ...more] = text.toLowerCase().split(":")
  const below = host.startsWith("*.")
  const bare = below ? host.slice(2) : host
  if (more.length > 0 || !isHostName(bare)) {
    return Result.fail(
      "write a host name such as registry.npmjs.org, *.pypi.org, or either with a port; no address, no scheme, no path, no bare *"
    )
  }
  const port = digits === undefined ? undefined : portOf(digits)
  return digits !== undefined && port === undefined
    ? Result.fail("a port is a number from 1 to 65535")
    : Result.succeed({ host: bare, below, port })
}

/** `host:port` as a request names it; the port of the scheme where it names none. */
export const parseDestination = (authority: string, defaultPort: number): Destination | undefined => {
  const [host = "", digits, ...more] = authority.split(":")
  if (more.length > 0 || !isHostName(host)) return undefined
  const port = digits === undefined ? defaultPort : portOf(digits)
  return port === undefined ? undefined : { host: host.toLowerCase(), port }
}

/** True when `destination` is what the pattern names; `standardPort` is that of the scheme it is reached by. */
export const matchesHost = (pattern: HostPattern, destination: Destination, standardPort: number): boolean =>
  destination.port === (pattern.port ?? standardPort) &&
  (pattern.below ? destination.host.endsWith(`.${pattern.host}`) : destination.host === pattern.host)
