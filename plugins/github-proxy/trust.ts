/** What the agent's programs believe: the system's authorities and the sandbox's own, in one file. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { rootCertificates } from "node:tls"
import type { ShownFile } from "../../runtime/ports/Agent.ts"
import { certificatesOf, javaTrustStore } from "./certificates/JavaTrust.ts"
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
  /** The same as Java reads it, absolute. */
  readonly javaStore: string
  /** The same file over each of the system's. */
  readonly shown: ReadonlyArray<ShownFile>
}

/** Whoever reads it reads the old or the new one. */
const place = (file: string, content: string | Uint8Array): void => {
  Fs.writeFileSync(`${file}.new`, content, { mode: 0o600 })
  Fs.renameSync(`${file}.new`, file)
}

/** Writes the bundle into a directory of the sandbox's own, which is made when missing. */
export const writeTrust = (directory: string, certificate: string, now: number): Trust => {
  const places = foundBundles()
  const [system] = places
  const roots = system === undefined ? rootCertificates.join("\n") : Fs.readFileSync(system, "utf8")
  Fs.mkdirSync(directory, { recursive: true, mode: 0o700 })
  const bundle = Path.join(directory, "certificates.pem")
  const javaStore = Path.join(directory, "certificates.jks")
  const all = `${roots.trimEnd()}\n${certificate}`
  place(bundle, all)
  place(javaStore, javaTrustStore(certificatesOf(all), now))
  return { bundle, javaStore, shown: places.map((target) => ({ source: bundle, target })) }
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

/**
 * Options that every Java takes from `JAVA_TOOL_OPTIONS`. It has no way to give a proxy's password by them, so a proxy that
 * asks for one is left out.
 */
const javaOptions = (store: string, { hostname, password, port }: URL): string =>
  [
    `-Djavax.net.ssl.trustStore=${store}`,
    "-Djavax.net.ssl.trustStoreType=JKS",
    ...(password === ""
      ? ["http", "https"].flatMap((scheme) => [
        `-D${scheme}.proxyHost=${hostname}`,
        `-D${scheme}.proxyPort=${port}`
      ])
      : []),
    "-Dhttp.nonProxyHosts=localhost|127.0.0.1"
  ].map((option) => /\s/.test(option) ? `"${option}"` : option).join(" ")

/** A proxy's address under every name that programs look for, and where the agent sees Java's store. */
export const proxyEnvironment = (url: string, javaStore: string): Readonly<Record<string, string>> => ({
  HTTPS_PROXY: url,
  https_proxy: url,
  HTTP_PROXY: url,
  http_proxy: url,
  JAVA_TOOL_OPTIONS: javaOptions(javaStore, new URL(url))
})
