/** How many cases a property is tried on: so many as its test says, or `KM_RUNS` for a long search. */
export const runs = (usual: number): { readonly arbitrary: { readonly runs: number } } => ({
  arbitrary: { runs: Number(process.env["KM_RUNS"] ?? usual) }
})
