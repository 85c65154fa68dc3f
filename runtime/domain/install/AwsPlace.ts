/** Where an install on AWS lives: an account and a region, or an emulator of them on this machine. */
import * as Schema from "effect/Schema"
import { isLoopbackUrl } from "../slack/FileLinks.ts"

export const AwsPlace = Schema.Struct({
  region: Schema.String.check(
    Schema.isPattern(/^[a-z]{2}(-[a-z]+)+-\d{1,2}$/, { message: "a region such as eu-central-1" })
  ),
  accountId: Schema.String.check(Schema.isPattern(/^\d{12}$/, { message: "the twelve digits of an account" })),
  /** Of an emulator on this machine, without a path. Absent: AWS itself, with the credentials that its SDK finds. */
  endpoint: Schema.optionalKey(Schema.String.check(
    Schema.isPattern(/^http:\/\/[^\s/]+$/, { message: "an http address without a path" }),
    Schema.makeFilter((text: string) => isLoopbackUrl(text) ? undefined : "an address of this machine")
  ))
})
export type AwsPlace = typeof AwsPlace.Type
