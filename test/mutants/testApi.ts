/**
 * What test files import in place of `@effect/vitest` while mutants run: the same calls, which put tests into a list. They
 * run one after the other in this process, because a process for each file costs two to three seconds of processor, and
 * most files need a tenth of that.
 */
import { assert } from "chai"
import * as Arbitrary from "effect/Arbitrary"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as TestConsole from "effect/testing/TestConsole"

export { assert }

export interface Context {
  readonly signal: AbortSignal
  readonly onTestFinished: (finalizer: () => unknown) => void
}
export interface Test {
  readonly name: string
  readonly run: (context: Context) => unknown
}

type Body<Args extends ReadonlyArray<unknown> = ReadonlyArray<never>> = (...args: Args) => unknown
type Inputs = ReadonlyArray<Schema.Schema<unknown> | Arbitrary.Arbitrary<unknown>>
type Tested = Effect.Effect<unknown, unknown, Scope.Scope>
interface Options {
  readonly arbitrary?: Arbitrary.CheckOptions
}

let tests: Array<Test> = []
const path: Array<string> = []

/** The tests that were named since the last time. */
export const takeTests = (): ReadonlyArray<Test> => {
  const taken = tests
  tests = []
  return taken
}

const add = (name: unknown, run: Test["run"]): void => {
  tests.push({ name: [...path, String(name)].join(" > "), run })
}

const bodyOf = (first: unknown, second: unknown): Body => (typeof first === "function" ? first : second) as Body
const spread = (one: unknown): ReadonlyArray<never> => {
  const all: ReadonlyArray<unknown> = Array.isArray(one) ? one : [one]
  return all as ReadonlyArray<never>
}

const run = async (effect: Effect.Effect<unknown, unknown>, { signal }: Context): Promise<void> => {
  const exit = await Effect.runPromiseExit(effect, { signal })
  if (Exit.isFailure(exit)) throw Cause.prettyErrors(exit.cause)[0] ?? new Error("the test failed without an error")
}

const check = (
  inputs: Inputs | Readonly<Record<string, Inputs[number]>>,
  property: (values: unknown) => Effect.Effect<boolean, unknown>,
  options: Options | number | undefined
): Effect.Effect<unknown, unknown> => {
  const one = (input: Inputs[number]) => Arbitrary.isArbitrary(input) ? input : Arbitrary.schema(input)
  const all: Arbitrary.Arbitrary<unknown> = Array.isArray(inputs)
    ? Arbitrary.all(inputs.map(one))
    : Arbitrary.all(Object.fromEntries(Object.entries(inputs).map(([key, input]) => [key, one(input)])))
  return Effect.flatMap(
    Arbitrary.checkEffect(
      all,
      (values) => Effect.catchCause(Effect.suspend(() => property(values)), (cause) => Effect.fail(cause)),
      typeof options === "object" ? options.arbitrary : undefined
    ),
    (result) => {
      const failure = Arbitrary.formatCheckFailure(result)
      return failure === undefined ? Effect.void : Effect.die(new Error(failure))
    }
  )
}

const tester = (surround: (test: Tested) => Effect.Effect<unknown, unknown>) => {
  const body = (self: Body, ...args: ReadonlyArray<unknown>) =>
    surround(Effect.suspend(() => self(...args as ReadonlyArray<never>) as Tested))
  return Object.assign(
    (name: string, self: Body) => add(name, (context) => run(body(self, context), context)),
    {
      each: (cases: ReadonlyArray<unknown>) => (name: string, self: Body) =>
        cases.forEach((one, n) => add(`${name} ${n}`, (context) => run(body(self, one, context), context))),
      prop: (name: string, inputs: Inputs, self: Body, options?: Options) =>
        add(
          name,
          (context) =>
            run(
              check(inputs, (values) => Effect.map(body(self, values, context), (held) => held !== false), options),
              context
            )
        )
    }
  )
}

const testEnvironment = Layer.mergeAll(TestConsole.layer, TestClock.layer())

export const it = Object.assign(
  (name: string, first: unknown, second?: unknown) => add(name, (context) => bodyOf(first, second)(context as never)),
  {
    effect: tester((test) => test.pipe(Effect.scoped, Effect.provide(testEnvironment))),
    live: tester(Effect.scoped),
    prop: (name: string, inputs: Inputs, self: Body, options?: Options) =>
      add(name, (context) =>
        run(
          check(inputs, (values) => Effect.sync(() => self(values as never, context as never) !== false), options),
          context
        )),
    each: (cases: ReadonlyArray<unknown>) => (name: string, first: unknown, second?: unknown) =>
      cases.forEach((one, n) => add(`${name} ${n}`, () => bodyOf(first, second)(...spread(one))))
  }
)

const group = (name: unknown, first: unknown, second?: unknown): void => {
  path.push(String(name))
  bodyOf(first, second)()
  path.pop()
}

export const describe = Object.assign(group, {
  concurrent: group,
  each: (cases: ReadonlyArray<unknown>) => (name: string, first: unknown, second?: unknown) =>
    cases.forEach((one, n) => group(`${name} ${n}`, () => bodyOf(first, second)(...spread(one))))
})
