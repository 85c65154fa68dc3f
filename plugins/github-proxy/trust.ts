/** What the agent's programs believe: the system's authorities and the sandbox's own, in one file. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { rootCertificates } from "node:tls"
import type { ShownFile } from "../../runtime/ports/Agent.ts"
import { gitHubAddress } from "./request/GitHubHosts.ts"

/** Where systems keep theirs: Debian and Alpine, Fedora and its kin, others. */
const systemBundles = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem"
]

/** Links followed: a link cannot be mounted over. */
const foundBundles = (): ReadonlyArray<string> => [
  ...new Set(systemBundles.flatMap((path) => {
    try {
      return [Fs.realpathSync(path)]
    } catch {
      return []
    }
  }))
]

export interface Trust {
  /** The one file, absolute. */
  readonly bundle: string
  /** The same file over each of the system's. */
  readonly shown: ReadonlyArray<ShownFile>
}

/** Writes the bundle into a directory of the sandbox's own, which is made when missing. */
export const writeTrust = (directory: string, certificate: string): Trust => {
  const places = foundBundles()
  const [system] = places
  const roots = system === undefined ? rootCertificates.join("\n") : Fs.readFileSync(system, "utf8")
  Fs.mkdirSync(directory, { recursive: true, mode: 0o700 })
  const bundle = Path.join(directory, "certificates.pem")
  Fs.writeFileSync(`${bundle}.new`, `${roots.trimEnd()}\n${certificate}`, { mode: 0o600 })
  Fs.renameSync(`${bundle}.new`, bundle)
  return { bundle, shown: places.map((target) => ({ source: bundle, target })) }
}

/** Names by which programs are told of it that do not look where the system has its own. */
const bundleVariables = [
  "SSL_CERT_FILE",
  "CURL_CA_BUNDLE",
  "GIT_SSL_CAINFO",
  "NODE_EXTRA_CA_CERTS",
  "REQUESTS_CA_BUNDLE",
  "PIP_CERT",
  "CARGO_HTTP_CAINFO",
  "DENO_CERT",
  "AWS_CA_BUNDLE"
]

/** Addresses by which people name a repository that have no door: git asks by https instead. */
const otherAddresses = (github: string): ReadonlyArray<string> => {
  const { host } = gitHubAddress(github)
  return [`git@${host}:`, `ssh://git@${host}/`, `git://${host}/`, `http://${github}/`]
}

/**
 * Variables for every run. The tokens are no tokens: gh and others ask for none when there is something, and the proxy
 * takes it away.
 */
export const trustEnvironment = (bundle: string, gitHubs: ReadonlyArray<string>): Readonly<Record<string, string>> => {
  const rules = gitHubs.flatMap((host) => otherAddresses(host).map((address) => [host, address] as const))
  return {
    ...Object.fromEntries(bundleVariables.map((name) => [name, bundle])),
    NODE_USE_ENV_PROXY: "1",
    GH_TOKEN: "held-by-the-proxy",
    GH_ENTERPRISE_TOKEN: "held-by-the-proxy",
    GITHUB_TOKEN: "held-by-the-proxy",
    GH_PROMPT_DISABLED: "1",
    GIT_TERMINAL_PROMPT: "0",
    GIT_CONFIG_COUNT: String(rules.length),
    ...Object.fromEntries(rules.flatMap(([host, address], index) => [
      [`GIT_CONFIG_KEY_${index}`, `url.https://${host}/.insteadOf`],
      [`GIT_CONFIG_VALUE_${index}`, address]
    ]))
  }
}

/** A proxy's address under every name that programs look for. */
export const proxyEnvironment = (url: string): Readonly<Record<string, string>> => ({
  HTTPS_PROXY: url,
  https_proxy: url,
  HTTP_PROXY: url,
  http_proxy: url
})
