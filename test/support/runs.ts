/** How many cases a property is tried on: so many as its test says, or `KM_RUNS` for a long search. */
export const runs = (usual: number): { readonly arbitrary: { readonly runs: number } } => ({
  arbitrary: { runs: Number(process.env["KM_RUNS"] ?? usual) }
})

/**
 * The same cases each time, unless `KM_RUNS` asks for a long search: of a property that is known to have rare exceptions,
 * where a failure out of the blue would say nothing of the change at hand.
 */
export const sameRuns = (usual: number): { readonly arbitrary: { readonly runs: number; readonly seed?: number } } => {
  const { arbitrary } = runs(usual)
  return { arbitrary: process.env["KM_RUNS"] === undefined ? { ...arbitrary, seed: 1 } : arbitrary }
}
