/** What no network namespace covers, tried by an agent in its jail: every attempt ends at the call itself. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Jail } from "../../runtime/adapters/jail/Bubblewrap.ts"
import { bashScript, networkOf, runOf, scriptedAgent } from "../support/ScriptedModel.ts"

/** `AF_VSOCK` reaches the host of a virtual machine, `AF_ALG` the kernel's ciphers, `AF_PACKET` everybody's frames. */
const refused = { AF_PACKET: 17, AF_BLUETOOTH: 31, AF_ALG: 38, AF_VSOCK: 40, AF_XDP: 44, AF_TIPC: 30, AF_RDS: 21 }
const allowed = { AF_UNIX: 1, AF_INET: 2, AF_INET6: 10, AF_NETLINK: 16 }

const script = `
import ctypes, errno, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def attempt(name, call):
    result = call()
    print(name, "made" if result >= 0 else errno.errorcode[ctypes.get_errno()])
    if result >= 0: os.close(result)
for name, family in ${JSON.stringify({ ...refused, ...allowed })}.items():
    kind = 3 if family in (16, 17) else 5 if family == 38 else 1
    attempt(name, lambda: libc.socket(family, kind, 0))
pair = (ctypes.c_int * 2)()
print("pair", "made" if libc.socketpair(1, 1, 0, pair) == 0 else errno.errorcode[ctypes.get_errno()])
print("tipc pair", "made" if libc.socketpair(30, 1, 0, pair) == 0 else errno.errorcode[ctypes.get_errno()])
for number in (425, 426, 427):
    attempt("call %d" % number, lambda: libc.syscall(number, 1, 0, 0, 0, 0, 0))
first = 248 if os.uname().machine == "x86_64" else 217
for number in range(3):
    attempt("keys %d" % number, lambda: libc.syscall(first + number, 0, 0, 0, 0, 0, 0))
for name, family, protocol in (("raw", 2, 255), ("raw icmp", 2, 1), ("raw 6", 10, 255)):
    attempt(name, lambda: libc.socket(family, 3, protocol))
print(open("/proc/self/status").read().split("Seccomp:")[1].split()[0], "mode")
`

describe("a jailed agent", () => {
  it.live.each(["none", "shared"] as const)(
    "makes sockets of four families and no others (network %s)",
    (mode) =>
      Effect.gen(function*() {
        const { agent, directories } = yield* scriptedAgent({ jail: Jail.layer, network: networkOf(mode) })
        const process = yield* agent.start(runOf(directories, bashScript(`python3 - <<'END' 2>&1\n${script}\nEND`)))
        const outcome = yield* process.outcome
        const said = outcome._tag === "Answered" ? outcome.text : JSON.stringify(outcome)
        for (const name of Object.keys(refused)) assert.include(said, `${name} EPERM`)
        for (const name of Object.keys(allowed)) assert.include(said, `${name} made`)
        assert.include(said, "pair made\ntipc pair EPERM")
        for (const number of [425, 426, 427]) assert.include(said, `call ${number} ENOSYS`)
        for (const number of [0, 1, 2]) assert.include(said, `keys ${number} ENOSYS`)
        for (const name of ["raw", "raw icmp", "raw 6"]) assert.include(said, `${name} EPERM`)
        assert.include(said, "2 mode")
      })
  )
})
