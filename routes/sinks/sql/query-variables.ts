/**
 * Finds the variables of a query: `$TOPIC` and the others become parameters of a prepared statement, except in
 * strings, quoted names and comments, where they are text like any other. Pure.
 */
export const VARIABLES = ['TOPIC', 'PAYLOAD', 'TIME', 'DEVICE', 'QOS', 'RETAIN', 'ID'] as const
export type Variable = (typeof VARIABLES)[number]

export type SqlDialect = 'PostgreSQL' | 'MySQL'

/** `text` has a placeholder for every use of a variable; `variables` says which stands for which. */
export type ParsedQuery = { text: string; variables: Variable[] } | { fault: string }

interface Rules {
  /** What is copied as it is; sticky. */
  verbatim: readonly RegExp[]
  placeholder: (index: number) => string
  /** A placeholder that the user wrote: it would be counted with ours. */
  foreign: RegExp
}

const SINGLE_QUOTED = /'(?:[^']|'')*'/y
const ESCAPED_SINGLE_QUOTED = /'(?:[^'\\]|\\[\s\S]|'')*'/y
const NAME = /[\p{L}_][\p{L}\p{N}_$]*/uy

const DIALECTS: Record<SqlDialect, Rules> = {
  PostgreSQL: {
    verbatim: [
      /[eE]'(?:[^'\\]|\\[\s\S]|'')*'/y,
      SINGLE_QUOTED,
      /"(?:[^"]|"")*"/y,
      /--[^\n]*/y,
      /\$([\p{L}_][\p{L}\p{N}_]*)?\$[\s\S]*?\$\1\$/uy,
      NAME,
    ],
    placeholder: (index) => `$${index + 1}`,
    foreign: /\$\d+/y,
  },
  MySQL: {
    verbatim: [
      ESCAPED_SINGLE_QUOTED,
      /"(?:[^"\\]|\\[\s\S]|"")*"/y,
      /`(?:[^`]|``)*`/y,
      // In MySQL two dashes begin a comment only before a space or a control character.
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what the manual names
      /--(?=[\u0000-\u0020]|$)[^\n]*/y,
      /#[^\n]*/y,
      /\/\*[\s\S]*?\*\//y,
      NAME,
    ],
    placeholder: () => '?',
    foreign: /\?/y,
  },
}

const VARIABLE = new RegExp(`\\$(${VARIABLES.join('|')})(?![\\p{L}\\p{N}_$])`, 'uy')

export function parseQuery(query: string, dialect: SqlDialect): ParsedQuery {
  const rules = DIALECTS[dialect]
  const variables: Variable[] = []
  let text = ''
  let at = 0
  while (at < query.length) {
    const variable = matchAt(VARIABLE, query, at)
    if (variable !== undefined) {
      text += rules.placeholder(variables.length)
      variables.push(variable.slice(1) as Variable)
      at += variable.length
      continue
    }
    const foreign = matchAt(rules.foreign, query, at)
    if (foreign !== undefined)
      return { fault: `query: expected ${VARIABLES.map((name) => `$${name}`).join(', ')}, got ${foreign}` }
    const copied = verbatim(query, at, dialect) ?? query.charAt(at)
    text += copied
    at += copied.length
  }
  return { text, variables }
}

function verbatim(query: string, at: number, dialect: SqlDialect): string | undefined {
  // Comments of PostgreSQL nest, which no regular expression can follow.
  if (dialect === 'PostgreSQL' && query.startsWith('/*', at)) return nestedComment(query, at)
  for (const pattern of DIALECTS[dialect].verbatim) {
    const found = matchAt(pattern, query, at)
    if (found !== undefined) return found
  }
  return undefined
}

function matchAt(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at
  return pattern.exec(text)?.[0]
}

/** To the end of the query when it is not closed: the server will say so. */
function nestedComment(query: string, start: number): string {
  const mark = /\/\*|\*\//g
  mark.lastIndex = start
  let depth = 0
  for (let found = mark.exec(query); found !== null; found = mark.exec(query)) {
    depth += found[0] === '/*' ? 1 : -1
    if (depth === 0) return query.slice(start, mark.lastIndex)
  }
  return query.slice(start)
}
