/** What stands before the lines of quotes and list items, so that what goes on in another message is read as inside. */
import type { Container } from "./markdownBlocks.ts"

/** What stands before a container's first line, to begin it anew. */
const markOf = (container: Container, outermost: boolean): string => {
  if (container.kind === "quote") return "> "
  const blanks = Math.max(1, container.width - container.marker.length)
  // Blanks before the marker leave one behind it, so that indented code after it keeps its columns.
  const before = outermost ? Math.min(3, blanks - 1) : 0
  return " ".repeat(before) + container.marker + " ".repeat(blanks - before)
}
/** What begins all of them anew. */
export const beginning = (containers: ReadonlyArray<Container>): string =>
  containers.map((it, index) => markOf(it, containers.slice(0, index).every((outer) => outer.kind === "quote"))).join(
    ""
  )
/** What stands before every further line inside the containers. */
export const going = (containers: ReadonlyArray<Container>): string =>
  containers.map((it) => it.kind === "quote" ? "> " : " ".repeat(Math.max(it.width, it.marker.length + 1))).join("")
