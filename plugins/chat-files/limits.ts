/** Below what the kernel takes of a prompt's line. */
export const maxLineCharacters = 900

/** Files that one turn may attach: an agent in a loop must not fill a thread. */
export const maxAttachedFiles = 20
