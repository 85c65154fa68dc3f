/** Whether a text would show a person anything at all. */

/** What a terminal would obey instead of showing: control sequences and commands, in 7 and 8 bits. Source: ECMA-48 §5.4, 8.3.89. */
const sequences =
  // oxlint-disable-next-line no-control-regex
  /(?:\u001b\[|\u009b)[0-?]*[ -/]*[@-~]|(?:\u001b\]|\u009d)[^\u0007\u001b\u009c]*(?:\u0007|\u001b\\|\u009c)?/g

/**
 * White space, controls, formats, halves of characters, what Unicode draws as nothing (`Default_Ignorable_Code_Point`),
 * and the Braille pattern without dots.
 */
const unseen = /[\s\p{Cc}\p{Cf}\p{Cs}\p{Default_Ignorable_Code_Point}\u2800]/gu

/** True when nothing is left that would be seen. */
export const isBlank = (text: string): boolean => text.replace(sequences, "").replace(unseen, "") === ""
