/** The filter of system calls, run by an interpreter of the kernel's own rules over every call and family. */
import { assert, describe, it } from "@effect/vitest"
import { instructionBytes, isMachine, type Machine, seccompProgram } from "../../../../runtime/adapters/jail/Seccomp.ts"

interface Call {
  readonly arch: number
  readonly number: number
  readonly arguments: ReadonlyArray<bigint>
}

/** Classic BPF over `struct seccomp_data`, as far as seccomp takes it (kernel's `net/core/filter.c`, `kernel/seccomp.c`). */
const run = (program: Uint8Array, call: Call): number => {
  const data = new DataView(new ArrayBuffer(64))
  data.setInt32(0, call.number, true)
  data.setUint32(4, call.arch, true)
  for (const [index, value] of call.arguments.entries()) data.setBigUint64(16 + index * 8, value, true)
  const code = new DataView(program.buffer, program.byteOffset, program.byteLength)
  let accumulator = 0
  for (let index = 0, steps = 0; steps < 4_096; steps++) {
    assert.isBelow(index * instructionBytes, program.length, "ran over the end")
    const base = index * instructionBytes
    const [operation, jt, jf, k] = [
      code.getUint16(base, true),
      code.getUint8(base + 2),
      code.getUint8(base + 3),
      code.getUint32(base + 4, true)
    ]
    index++
    if (operation === 0x20) {
      assert.strictEqual(k % 4, 0)
      accumulator = data.getUint32(k, true)
    } else if (operation === 0x15) index += accumulator === k ? jt : jf
    else if (operation === 0x35) index += accumulator >= k ? jt : jf
    else if (operation === 0x06) return k
    else assert.fail(`an instruction that the test does not know: ${operation}`)
  }
  return assert.fail("it does not end")
}

const allow = 0x7fff0000
const kill = 0x80000000
const eperm = 0x00050001
const enosys = 0x00050026

const machines: ReadonlyArray<
  {
    readonly machine: Machine
    readonly arch: number
    readonly socket: number
    readonly pair: number
    /** The first of three. */
    readonly keys: number
  }
> = [
  { machine: "x64", arch: 0xc000003e, socket: 41, pair: 53, keys: 248 },
  { machine: "arm64", arch: 0xc00000b7, socket: 198, pair: 199, keys: 217 }
]

describe.each(machines)("the filter on $machine", ({ arch, keys, machine, pair, socket }) => {
  const program = seccompProgram(machine)
  const call = (number: number, ...given: ReadonlyArray<bigint>) =>
    run(program, { arch, number, arguments: [...given, 0n, 0n, 0n, 0n, 0n, 0n].slice(0, 6) })

  it("is whole, and short enough for the kernel", () => {
    assert.strictEqual(program.length % instructionBytes, 0)
    assert.isAtMost(program.length / instructionBytes, 4_096)
  })

  it("lets every call pass but sockets, io_uring and keyrings", () => {
    for (let number = 0; number < 1_024; number++) {
      if (number === socket || number === pair) continue
      const expected = (number >= 425 && number <= 427) || (number >= keys && number <= keys + 2) ? enosys : allow
      // Whatever the arguments are.
      for (const first of [0n, 40n, 0xffff_ffff_ffff_ffffn]) {
        assert.strictEqual(call(number, first), expected, `${number}`)
      }
    }
  })

  it("lets four families of sockets pass, and looks at what the kernel looks at", () => {
    for (let family = 0n; family < 4_096n; family++) {
      const expected = [1n, 2n, 10n, 16n].includes(family) ? allow : eperm
      for (const number of [socket, pair]) {
        assert.strictEqual(call(number, family), expected, `${family}`)
        // The kernel takes an int: what is above it does not count.
        assert.strictEqual(call(number, family | 0xdead_beef_0000_0000n), expected, `${family}`)
      }
    }
    for (const family of [0xffff_ffffn, 0x8000_0001n, 0x1_0028n]) assert.strictEqual(call(socket, family), eperm)
  })

  it("ends a program that speaks another face of the kernel", () => {
    for (const other of [0, 0x40000003, 0x40000028, 0xc000003e, 0xc00000b7, 0xc0000015, 0xffffffff]) {
      if (other === arch) continue
      for (const number of [0, socket, pair, 359, 425]) {
        assert.strictEqual(run(program, { arch: other, number, arguments: [2n, 0n, 0n, 0n, 0n, 0n] }), kill)
      }
    }
  })
})

describe("the filter on x64", () => {
  it("has no x32 face", () => {
    const program = seccompProgram("x64")
    for (const number of [0x40000000, 0x40000000 + 41, 0x40000000 + 425, 0x7fffffff, -1]) {
      assert.strictEqual(run(program, { arch: 0xc000003e, number, arguments: [40n, 0n, 0n, 0n, 0n, 0n] }), enosys)
    }
  })

  it("is there for two machines and no other", () => {
    assert.deepStrictEqual(["x64", "arm64", "arm", "ia32", "riscv64"].map(isMachine), [true, true, false, false, false])
  })
})
