/**
 * What runs show to a proxy that has no door: a credential for each, made with the run and good for as long as it lasts. It
 * says which run a connection is of, as a jail's door does.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto"
import type { RunIdentity } from "./Context.ts"

const digest = (text: string): Buffer => createHash("sha256").update(text).digest()

export class RunCredentials {
  readonly #digests = new Map<RunIdentity, Buffer>()

  /** 256 random bits in a shape that the redactor knows (`TokenShapes.ts`); of another run each time. */
  issue(run: RunIdentity): string {
    const credential = `kmp_${randomBytes(32).toString("base64url")}`
    this.#digests.set(run, digest(credential))
    return credential
  }

  /** The run is over. */
  end(run: RunIdentity): void {
    this.#digests.delete(run)
  }

  /** The run under way whose credential this is. Each is compared whole, so that the time tells nothing. */
  runOf(credential: string): RunIdentity | undefined {
    const shown = digest(credential)
    let found: RunIdentity | undefined
    for (const [run, expected] of this.#digests) if (timingSafeEqual(shown, expected)) found = run
    return found
  }
}
