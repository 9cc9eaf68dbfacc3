/** The subject of a message. Pure. */

const TOPIC = /\{\{ ?topic ?\}\}$/

/**
 * What a token cannot hold (dots, wildcards, white space, control characters) and the percent sign are written as
 * `%` and two hex digits a byte; a level without any character is `%`. No two topics give the same subject.
 */
export const subjectOf = (pattern: string, topic: string): string =>
  pattern.replace(TOPIC, () => topic.split('/').map(token).join('.'))

const token = (level: string) =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  level === '' ? '%' : level.replace(/[\s.*>%\u0000-\u001f\u007f-\u009f]/g, escaped)

const escaped = (character: string) =>
  [...Buffer.from(character)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('')
