/** A registry of packages for the tests of an agent's own programs: one package of each kind, made here, served by path. */
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import * as Fs from "node:fs"
import type { ServerResponse } from "node:http"
import * as Os from "node:os"
import * as Path from "node:path"
import { certificatesOf, javaTrustStore } from "../../plugins/github-proxy/certificates/JavaTrust.ts"

/** The host's name, which a profile allows. */
export const registryHost = "registry.example.com"
export const registryUrl = `https://${registryHost}`

/** Below a directory that is gone afterwards, the bytes of what `make` leaves in `file`. */
const packed = (files: Readonly<Record<string, string>>, make: (directory: string) => void, file: string): Buffer => {
  const directory = Fs.mkdtempSync(Path.join(Os.tmpdir(), "km-registry-"))
  try {
    for (const [name, text] of Object.entries(files)) {
      Fs.mkdirSync(Path.join(directory, Path.dirname(name)), { recursive: true })
      Fs.writeFileSync(Path.join(directory, name), text)
    }
    make(directory)
    return Fs.readFileSync(Path.join(directory, file))
  } finally {
    Fs.rmSync(directory, { recursive: true, force: true })
  }
}

const tarball = (files: Readonly<Record<string, string>>): Buffer => {
  const [top = ""] = Object.keys(files).map((name) => name.split("/", 1)[0] ?? "")
  return packed(files, (cwd) => execFileSync("tar", ["-czf", "packed.tgz", top], { cwd }), "packed.tgz")
}

/** Names are within it as they are given. */
const zipped = (files: Readonly<Record<string, string>>): Buffer =>
  packed(
    files,
    (cwd) =>
      execFileSync("/usr/bin/python3", [
        "-c",
        "import sys, zipfile\nwith zipfile.ZipFile('packed.zip', 'w') as z:\n  for name in sys.argv[1:]: z.write(name, name)",
        ...Object.keys(files)
      ], { cwd }),
    "packed.zip"
  )

const npmTarball = () =>
  tarball({
    "package/package.json": JSON.stringify({ name: "km-sample", version: "1.0.0", main: "index.js" }),
    "package/index.js": "module.exports = 'from npm'\n"
  })

const crate = () =>
  tarball({
    "km-sample-1.0.0/Cargo.toml": "[package]\nname = \"km-sample\"\nversion = \"1.0.0\"\nedition = \"2021\"\n",
    "km-sample-1.0.0/src/lib.rs": "pub fn said() -> &'static str { \"from cargo\" }\n"
  })

const pythonWheel = () =>
  zipped({
    "km_sample.py": "said = 'from pypi'\n",
    "km_sample-1.0.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: km-sample\nVersion: 1.0.0\n",
    "km_sample-1.0.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: km\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "km_sample-1.0.0.dist-info/RECORD": ""
  })

const goModule = "module registry.example.com/sample\n\ngo 1.19\n"

/** Everything by its path. */
const contents = (): ReadonlyMap<string, Buffer | string> => {
  const npm = npmTarball()
  const cargo = crate()
  const integrity = `sha512-${createHash("sha512").update(npm).digest("base64")}`
  const version = {
    name: "km-sample",
    version: "1.0.0",
    dist: { tarball: `${registryUrl}/npm/km-sample/-/km-sample-1.0.0.tgz`, integrity }
  }
  const inGo = "registry.example.com/sample@v1.0.0"
  return new Map<string, Buffer | string>([
    ["/plain", "the registry\n"],
    ["/module.ts", "export const said: string = 'from a module'\n"],
    [
      "/npm/km-sample",
      JSON.stringify({ name: "km-sample", "dist-tags": { latest: "1.0.0" }, versions: { "1.0.0": version } })
    ],
    ["/npm/km-sample/-/km-sample-1.0.0.tgz", npm],
    ["/simple/km-sample/", "<a href=\"/wheels/km_sample-1.0.0-py3-none-any.whl\">km_sample-1.0.0-py3-none-any.whl</a>"],
    ["/wheels/km_sample-1.0.0-py3-none-any.whl", pythonWheel()],
    ["/cargo/config.json", JSON.stringify({ dl: `${registryUrl}/cargo/dl` })],
    [
      "/cargo/km/-s/km-sample",
      `${
        JSON.stringify({
          name: "km-sample",
          vers: "1.0.0",
          deps: [],
          cksum: createHash("sha256").update(cargo).digest("hex"),
          features: {},
          yanked: false
        })
      }\n`
    ],
    ["/cargo/dl/km-sample/1.0.0/download", cargo],
    ["/go/registry.example.com/sample/@v/list", "v1.0.0\n"],
    [
      "/go/registry.example.com/sample/@v/v1.0.0.info",
      JSON.stringify({ Version: "v1.0.0", Time: "2026-01-01T00:00:00Z" })
    ],
    ["/go/registry.example.com/sample/@v/v1.0.0.mod", goModule],
    [
      "/go/registry.example.com/sample/@v/v1.0.0.zip",
      zipped({ [`${inGo}/go.mod`]: goModule, [`${inGo}/sample.go`]: "package sample\n\nconst Said = \"from go\"\n" })
    ]
  ])
}

/** Answers what is asked of the registry's host; false for every other host. */
export const makeRegistry = () => {
  const all = contents()
  return ({ host, url }: { readonly host: string; readonly url: string }, response: ServerResponse): boolean => {
    if (host !== registryHost) return false
    const body = all.get(url.split("?", 1)[0] ?? "")
    response.writeHead(body === undefined ? 404 : 200, {
      "content-type": url.startsWith("/simple/")
        ? "text/html"
        : url.endsWith(".ts")
        ? "application/typescript"
        : "text/plain"
    })
    response.end(body ?? "not here")
    return true
  }
}

/** Lets the agent's programs believe the registry's certificate, as they believe the system's: in the sandbox's own files. */
export const believe = (stateDirectory: string, authority: string): void => {
  const place = (name: string) => Path.join(stateDirectory, "proxy", name)
  Fs.appendFileSync(place("certificates.pem"), authority)
  Fs.writeFileSync(
    place("certificates.jks"),
    javaTrustStore(certificatesOf(Fs.readFileSync(place("certificates.pem"), "utf8")), Date.now())
  )
}
