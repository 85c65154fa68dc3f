/** Layers are shared by reference within a program; this keeps two engines of one program apart. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/**
 * The layer as one thing: used in two places it is built once, and what it is made of is shared with nothing outside.
 * Without it, the adapters' constant layers would give a second sandbox of a program the ledger of the first.
 */
export const ownMemory = <A, E>(layer: Layer.Layer<A, E>): Layer.Layer<A, E> =>
  Layer.effectContext(Effect.suspend(() => Layer.build(Layer.fresh(layer))))
