/** One measured figure, as `test/bench/results/latest.json` keeps it, and the arithmetic that every bench needs. */

export interface BenchRow {
  /** The bench file's name: `bridge`, `engine`, … */
  readonly area: string
  readonly name: string
  readonly unit: "ms" | "µs" | "1/s" | "MiB" | "%" | "x" | "count"
  /** The figure that `target` speaks of. */
  readonly value: number
  readonly p50?: number
  readonly p99?: number
  /** As the table of targets puts it: `<= 60`, `>= 1000`, `= 0`; empty where none was set. */
  readonly target: string
  /** The alternative measured in the same run. */
  readonly baseline?: number
  /** `value / baseline`. */
  readonly ratio?: number
  /** True when no target was set. */
  readonly ok: boolean
}

/** Nearest-rank percentile, `p` in 0..100; NaN for no samples. */
export const percentile = (samples: ReadonlyArray<number>, p: number): number => {
  const sorted = samples.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil((p / 100) * sorted.length) - 1)] ?? Number.NaN
}

/** Whether `value` meets a target text such as `<= 60`. */
export const meets = (value: number, target: string): boolean => {
  const match = /^(<=|>=|=)\s*([\d.]+)$/.exec(target)
  if (match === null) return target === ""
  const bound = Number(match[2])
  return match[1] === "<=" ? value <= bound : match[1] === ">=" ? value >= bound : value === bound
}
