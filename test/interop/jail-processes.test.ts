/** What an agent sees of processes, and that it can change no program of ours by any of their names. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { NetworkMode } from "../../runtime/domain/profile/Profile.ts"
import { profileWith, slackProfile } from "../support/profiles.ts"
import { bashScript } from "../support/ScriptedModel.ts"
import { botTexts, startStack } from "../support/Stack.ts"

/**
 * Opens for writing, and never writes: what each process runs, and what is mapped into it; then tries to put something else
 * in the place of our programs. Says what succeeded, and what there was to try.
 */
const script = `
exec 2> /dev/null
tries=0
try() { tries=$((tries + 1)); { : >> "$1"; } && echo "opened $1"; }
for d in /proc/[0-9]*; do
  [ "$d" = "/proc/$$" ] || try "$d/exe"
  for f in $(grep -oE '/[^ ]*(km-|claude|/node)[^ ]*$' "$d/maps" | sort -u); do try "$f"; done
  echo "sees $(tr '\\0\\n' '  ' < "$d/cmdline" | cut -c1-60)"
done
for program in $(which km-send km-recv) $(dirname "$(which km-send)")/* /run/km/settings.json; do
  try "$program"
  mv -f "$program" "$program.old" && echo "moved $program"
  rm -f "$program" && echo "removed $program"
  ln -sf /bin/true "$program" && echo "replaced $program"
done
readlink /proc/1/exe
# Its memory is the agent's to write; so it must have nothing that the agent has not.
sed -nE 's/^(Cap[A-Z][a-z]+|NoNewPrivs|Seccomp):\\s*0*([0-9a-f]*)$/first \\1 \\2/p' /proc/1/status
cat /proc/1/root/etc/shadow /etc/shadow && echo "read shadow"
ls /proc/1/root/root /proc/1/root/home /root /home | grep -q . && echo "listed"
ulimit -c unlimited; cd; sh -c 'kill -SEGV $$'; for f in core core.*; do [ -e "$f" ] && echo "core of its own"; done
echo "tries $tries"
`

const said = Effect.fnUntraced(function*(mode: NetworkMode) {
  const stack = yield* startStack()
  const sandbox = yield* stack.sandbox(profileWith(slackProfile.spec.cli, { network: { mode } }))
  const ts = yield* sandbox.say(bashScript(script))
  const text = botTexts(yield* sandbox.untilReaction(ts, "white_check_mark"), stack.workspace.botUserId).join("\n")
  return text
})

describe("from inside the jail", () => {
  it.live.each(["none", "shared"] as const)(
    "no process of ours is seen, and no program of ours is changed (network %s)",
    (mode) =>
      Effect.gen(function*() {
        const text = yield* said(mode)
        assert.isAtLeast(Number(/^tries (\d+)$/m.exec(text)?.[1]), 6, text)
        assert.notMatch(text, /^(opened|moved|removed|replaced) \/|^read shadow$|^listed$/m)
        assert.include(text, "/usr/bin/bwrap")
        assert.notMatch(text, /sees .*km-(runtime|bridge|control)/)
        const first = [...text.matchAll(/^first (\w+) ?(\w*)$/gm)].map(([, name, value]) => `${name} ${value}`)
        assert.deepStrictEqual(first.toSorted(), [
          "CapAmb ",
          "CapBnd ",
          "CapEff ",
          "CapInh ",
          "CapPrm ",
          "NoNewPrivs 1",
          "Seccomp 2"
        ])
      }),
    90_000
  )
})
