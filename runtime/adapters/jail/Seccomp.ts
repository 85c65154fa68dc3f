/**
 * What of the kernel's face a network namespace leaves open: sockets of families that know no namespace (AF_VSOCK reaches
 * the host of a virtual machine, AF_ALG the kernel's ciphers), and io_uring, which makes sockets without asking. And what no
 * namespace covers at all: the kernel's keyrings, of which a process keeps the one of the login that began it. Closed by
 * a filter of system calls, in classic BPF as the kernel reads it (`seccomp(2)`, `linux/filter.h`). Pure.
 */

/** Machines that have a program here, by Node's name. */
export type Machine = "x64" | "arm64"

export const isMachine = (arch: string): arch is Machine => arch === "x64" || arch === "arm64"

/**
 * Numbers of the calls that are looked at. Source: `asm/unistd_64.h` and `asm-generic/unistd.h`; `linux/audit.h`. `keys`:
 * add_key, request_key, keyctl.
 */
const machines = {
  x64: { arch: 0xc000003e, socket: 41, socketpair: 53, keys: [248, 249, 250], hasX32: true },
  arm64: { arch: 0xc00000b7, socket: 198, socketpair: 199, keys: [217, 218, 219], hasX32: false }
} as const

/** The same on every machine: io_uring_setup, io_uring_enter, io_uring_register. */
const ioUring = [425, 426, 427]

/** AF_UNIX, AF_INET, AF_INET6, AF_NETLINK (`bits/socket.h`): what programs use. */
const families = [1, 2, 10, 16]

/** Calls of the x32 face have this bit (`__X32_SYSCALL_BIT`); their numbers would pass for others. */
const x32 = 0x40000000

const allow = 0x7fff0000
const killProcess = 0x80000000
const errno = (number: number): number => 0x00050000 | number
const eperm = 1
/** Programs take it for an older kernel and go on without. */
const enosys = 38

/** `BPF_LD | BPF_W | BPF_ABS`, `BPF_JMP | BPF_JEQ | BPF_K`, `BPF_JMP | BPF_JGE | BPF_K`, `BPF_RET | BPF_K`. */
const code = { load: 0x20, equal: 0x15, atLeast: 0x35, answer: 0x06 } as const

/** Offsets in `struct seccomp_data`; both machines are little-endian, so the low half of an argument is first. */
const at = { number: 0, arch: 4, firstArgument: 16 } as const

interface Instruction {
  readonly code: number
  readonly k: number
  /** Instructions to skip when it holds, and when it does not. */
  readonly jt: number
  readonly jf: number
}

const load = (offset: number): Instruction => ({ code: code.load, k: offset, jt: 0, jf: 0 })
const answer = (value: number): Instruction => ({ code: code.answer, k: value, jt: 0, jf: 0 })
/** Goes on with `then` where it holds, and behind it where not. */
const when = (test: number, k: number, then: Instruction): ReadonlyArray<Instruction> => [
  { code: test, k, jt: 0, jf: 1 },
  then
]

const instructionsOf = (machine: Machine): ReadonlyArray<Instruction> => {
  const { arch, hasX32, keys, socket, socketpair } = machines[machine]
  const family = [
    load(at.firstArgument),
    ...families.flatMap((one) => when(code.equal, one, answer(allow))),
    answer(errno(eperm))
  ]
  return [
    load(at.arch),
    { code: code.equal, k: arch, jt: 1, jf: 0 },
    // Another face of the kernel has other numbers.
    answer(killProcess),
    load(at.number),
    ...(hasX32 ? when(code.atLeast, x32, answer(errno(enosys))) : []),
    ...[...ioUring, ...keys].flatMap((number) => when(code.equal, number, answer(errno(enosys)))),
    { code: code.equal, k: socket, jt: 2, jf: 0 },
    { code: code.equal, k: socketpair, jt: 1, jf: 0 },
    answer(allow),
    ...family
  ]
}

/** Bytes of one `struct sock_filter`. */
export const instructionBytes = 8

/** The program for `bwrap --seccomp`: instructions of 8 bytes, little-endian. */
export const seccompProgram = (machine: Machine): Uint8Array => {
  const instructions = instructionsOf(machine)
  const bytes = new Uint8Array(instructions.length * instructionBytes)
  const view = new DataView(bytes.buffer)
  for (const [index, { code: operation, jf, jt, k }] of instructions.entries()) {
    view.setUint16(index * instructionBytes, operation, true)
    view.setUint8(index * instructionBytes + 2, jt)
    view.setUint8(index * instructionBytes + 3, jf)
    view.setUint32(index * instructionBytes + 4, k, true)
  }
  return bytes
}
