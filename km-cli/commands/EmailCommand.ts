/** The commands of `km email`: names, flags and help. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"

const load = () => Effect.promise(() => import("./Email.ts"))

const bare = (name: string, description: string) =>
  Flag.Boolean(name).pipe(Flag.withDefault(false), Flag.withDescription(description))
const text = (name: string, description: string) =>
  Flag.String(name).pipe(Flag.optional, Flag.withDescription(description))
const texts = (name: string, description: string) =>
  Flag.String(name).pipe(Flag.atLeast(0), Flag.withDescription(description))

const markRead = bare("mark-read", "Mark what was shown as read; for the operator's own mailbox")
const pages = {
  reference: Argument.String("mailbox").pipe(
    Argument.optional,
    Argument.withDescription(
      "`operator`, or a sandbox's id, alias, or a prefix that fits only one; the operator's if left out"
    )
  ),
  limit: Flag.Int("limit").pipe(
    Flag.withAlias("n"),
    Flag.withDefault(50),
    Flag.withDescription("How many, newest first")
  ),
  unread: bare("unread", "Only what is not marked as read"),
  from: text("from", "Only what this one wrote: a sandbox's id, alias or prefix, `operator`, or an address").pipe(
    Flag.withMetavar("WHO")
  ),
  markRead,
  wait: Flag.Finite("wait").pipe(
    Flag.withDefault(0),
    Flag.withMetavar("SECONDS"),
    Flag.withDescription("Wait so long for a first one; exit code 7 when none comes")
  )
}

const list = Command.make(
  "list",
  pages,
  (input) => Effect.flatMap(load(), (module) => module.emailList(input))
).pipe(
  Command.withShortDescription("The inbox of the operator or of a sandbox"),
  Command.withDescription(
    "What arrived and was accepted, newest first, with its status. The operator's mail is verified, decrypted and " +
      "filed when somebody looks at it."
  )
)

const quarantine = Command.make(
  "quarantine",
  pages,
  (input) => Effect.flatMap(load(), (module) => module.emailQuarantine(input))
).pipe(
  Command.withShortDescription("What was not accepted, and why"),
  Command.withDescription("Mail that was not accepted, newest first, with status and reason.")
)

const read = Command.make(
  "read",
  {
    words: Argument.String("delivery").pipe(
      Argument.variadic({ min: 1, max: 2 }),
      Argument.withDescription("As the list shows it; before it the sandbox, unless it is the operator's")
    ),
    raw: bare("raw", "The message as it travelled, byte by byte"),
    markRead,
    saveAttachments: text("save-attachments", "Write the attachments into a directory").pipe(Flag.withMetavar("DIR"))
  },
  (input) => Effect.flatMap(load(), (module) => module.emailRead(input))
).pipe(
  Command.withShortDescription("Show one message"),
  Command.withDescription("Shows one message from inbox or quarantine, decrypted; it stays unread without --mark-read.")
)

const release = Command.make(
  "release",
  {
    words: Argument.String("delivery").pipe(
      Argument.variadic({ min: 1, max: 2 }),
      Argument.withDescription("As the list shows it; before it the sandbox, unless it is the operator's")
    )
  },
  (input) => Effect.flatMap(load(), (module) => module.emailRelease(input))
).pipe(
  Command.withShortDescription("Let a message out of quarantine into the inbox"),
  Command.withDescription(
    "Puts one message of quarantine into the inbox, from where it goes on as if it had been accepted: one that is " +
      "verified also starts a turn where the profile says so. Its status stays, and its reason says that it was released. " +
      "It is in the journal."
  )
)

const send = Command.make(
  "send",
  {
    to: Flag.String("to").pipe(
      Flag.atLeast(1),
      Flag.withMetavar("WHO"),
      Flag.withDescription("To whom: a sandbox's id, alias, prefix or address; repeatable")
    ),
    cc: texts("cc", "Copy; repeatable"),
    bcc: texts("bcc", "Blind copy; repeatable"),
    subject: Flag.String("subject").pipe(Flag.withDefault(""), Flag.withDescription("The subject")),
    body: text("body", "The body's file, or - for standard input, which it is without --body-text too"),
    bodyText: text("body-text", "The body itself"),
    attach: texts("attach", "A file to attach; repeatable"),
    replyTo: text("reply-to", "Who gets the answer instead"),
    inReplyTo: text("in-reply-to", "The id of the message that this one answers"),
    encrypt: bare("encrypt", "Refuse rather than send plain text; what can be encrypted is in any case"),
    waitReply: Flag.Finite("wait-reply").pipe(
      Flag.optional,
      Flag.withMetavar("SECONDS"),
      Flag.withDescription(
        "Wait for the verified reply of every recipient and print it; exit code 7 when one is missing"
      )
    ),
    dryRun: bare("dry-run", "Say what would be sent, and to whom, and send nothing")
  },
  (input) => Effect.flatMap(Effect.promise(() => import("./EmailSend.ts")), (module) => module.emailSend(input))
).pipe(
  Command.withShortDescription("Write to sandboxes as the operator"),
  Command.withDescription(
    "Signs with the operator's key and delivers to every recipient or to none; prints the message's id. Codes, limits " +
      "and statuses are those of km-send."
  ),
  Command.withExamples([
    { command: "km email send --to sb-b --subject 'Deploy' --body-text 'Please deploy main.'", description: "One line" }
  ])
)

export const email = Command.make("email").pipe(
  Command.withShortDescription("Mail of operator and sandboxes: send, list, read, quarantine, release"),
  Command.withDescription("Mail of operator and sandboxes: send, list, read, quarantine, release"),
  Command.withSubcommands([send, list, read, quarantine, release])
)
