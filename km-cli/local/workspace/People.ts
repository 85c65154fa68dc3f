/**
 * Who is in the workspace and which team they belong to. The emulator gives people random ids and knows one team
 * only; external people (Slack Connect) exist through this table.
 */

/** The team of the workspace; the emulator knows no other. */
export const homeTeamId = "T000000001"

/** The team of every external person: a workspace connected through Slack Connect. */
export const externalTeamId = "T0EXTERNAL"

/** One user, person or bot. */
export interface Member {
  readonly userId: string
  readonly name: string
  readonly realName: string
  readonly email: string
  readonly teamId: string
  readonly isBot: boolean
}

/** The members by id and by name. */
export class People {
  readonly #byId = new Map<string, Member>()

  enter(member: Member): void {
    this.#byId.set(member.userId, member)
  }

  find(userId: string): Member | undefined {
    return this.#byId.get(userId)
  }

  byName(name: string): Member | undefined {
    for (const member of this.#byId.values()) if (member.name === name) return member
    return undefined
  }

  /** Slack compares addresses without regard to case; the emulator does not (measured, 0.12.2). */
  byEmail(email: string): Member | undefined {
    const wanted = email.trim().toLowerCase()
    for (const member of this.#byId.values()) if (member.email.toLowerCase() === wanted) return member
    return undefined
  }

  isExternal(userId: string): boolean {
    const member = this.#byId.get(userId)
    return member !== undefined && member.teamId !== homeTeamId
  }

  all(): ReadonlyArray<Member> {
    return [...this.#byId.values()]
  }
}
