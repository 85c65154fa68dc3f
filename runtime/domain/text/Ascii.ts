/** Letter case of names that are ASCII: addresses, ids, aliases, hosts. */

/**
 * Only A to Z change. `toLowerCase` makes `k` of the Kelvin sign and more, so that a name which is none of ours, and that
 * other programs tell from it, would be taken for it.
 */
export const asciiLowerCase = (text: string): string => text.replaceAll(/[A-Z]+/g, (letters) => letters.toLowerCase())
