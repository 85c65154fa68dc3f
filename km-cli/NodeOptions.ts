/**
 * How a program's Node is started, by the name of its bundle without the ending; none where it is not here.
 *
 * The bridge under load makes much that lives for one event. V8 then lets its young generation grow to 3 × 16 MiB, which the
 * process keeps; with 4 MiB it stays about 40 MiB smaller at 2 to 7 % more processor time (test/bench/RESULTS.md).
 */
export const nodeOptions: Readonly<Record<string, ReadonlyArray<string>>> = {
  "km-bridge": ["--max-semi-space-size=4"]
}
