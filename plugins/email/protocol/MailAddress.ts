/** Mail addresses as this protocol allows them: one spelling, plain ASCII, nothing that a header could misread. */
import * as Schema from "effect/Schema"
import { asciiLowerCase } from "../../../runtime/domain/text/Ascii.ts"

/**
 * Lower-case `local@domain`; local part at most 64, all at most 254 characters (RFC 5321 §4.5.3.1). Quoted local
 * parts, comments, literals and non-ASCII are refused, because two parsers may disagree about them.
 */
const pattern =
  /^(?=.{3,254}$)(?=[^@]{1,64}@)[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*@[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/

export const MailAddress = Schema.String.check(Schema.isPattern(pattern)).pipe(Schema.brand("km/MailAddress"))
export type MailAddress = typeof MailAddress.Type

/** Lower-cases (local parts too: nobody tells two mailboxes apart by case) and checks; `undefined` when refused. */
export const mailAddress = (text: string): MailAddress | undefined => {
  const lower = asciiLowerCase(text.trim())
  return Schema.is(MailAddress)(lower) ? lower : undefined
}

export const domainOf = (address: MailAddress): string => address.slice(address.indexOf("@") + 1)

/** `<left@right>`, at most 250 characters of printable ASCII without `<`, `>` and spaces. */
export const MessageId = Schema.String.check(Schema.isPattern(/^<[!-;=?-~]{1,248}>$/)).pipe(
  Schema.brand("km/MessageId")
)
export type MessageId = typeof MessageId.Type

/**
 * The name shown beside a sender's address: words of letters, digits, `.`, `_` and `-` with single spaces; empty for
 * none. Narrow on purpose: no quoting is ever needed and nothing in it looks like an address.
 */
export const DisplayName = Schema.String.check(
  Schema.isMaxLength(64),
  Schema.isPattern(/^(?:[\p{L}\p{M}\p{N}._-]+(?: [\p{L}\p{M}\p{N}._-]+)*)?$/u)
)
