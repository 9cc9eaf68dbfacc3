/** A word that is printed as it is, because it holds something that the shell is to expand. */
export interface RawWord {
  raw: string
}

/** Words of a command that belong on one line, such as an option and its value. */
export type WordGroup = readonly (string | RawWord)[]

/** Quotes a word for any POSIX shell, and only where it has to be. */
export function quote(word: string): string {
  if (/^[A-Za-z0-9_@%+=:,./-]+$/.test(word)) return word
  return `'${word.replaceAll("'", `'\\''`)}'`
}

/** `text: ` and the content of a file, read when the command runs, so that no secret is on the screen. */
export const withFileContent = (text: string, path: string): RawWord => ({
  raw: `"${text.replaceAll(/["$`\\]/g, '\\$&')}$(cat ${quote(path)})"`,
})

/**
 * A command over as many lines as it needs; each but the last one ends in a backslash, so all of them can be
 * pasted in one go.
 */
export function formatCommand(groups: readonly WordGroup[], indent: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const group of groups) {
    const text = group.map((word) => (typeof word === 'string' ? quote(word) : word.raw)).join(' ')
    // Two columns are left for the backslash.
    const fits = indent.length + line.length + 1 + text.length <= width - 2
    if (line.trim() === '' || fits) line = line === '' ? text : `${line} ${text}`
    else {
      lines.push(`${indent}${line} \\`)
      line = `  ${text}`
    }
  }
  return [...lines, `${indent}${line}`]
}
