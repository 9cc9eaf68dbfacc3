import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { parseSync, Visitor } from 'vite'

/** One TypeScript file of the repository, with what the rules of `import-directions.test.ts` look at. */
export interface SourceFile {
  /** Path from the root of the repository, with slashes. */
  path: string
  /** Modules it names in any way: import, export-from, `import()`, `import('…').Type`. */
  imports: string[]
  /** Uses of ambient state: `Date.now`, `new Date()`, `process`, … with their line. */
  ambient: { name: string; line: number }[]
}

const root = join(import.meta.dirname, '..')

/** Every tracked file that is still there. */
export function trackedFiles(): string[] {
  return execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
    .split('\0')
    .filter((path) => path !== '' && existsSync(join(root, path)))
}

export const readTracked = (path: string): string => readFileSync(join(root, path), 'utf8')

/** Objects whose members are facts of the moment or doors to the outside. */
const AMBIENT_OBJECTS = new Set(['process', 'performance', 'console', 'globalThis'])
const AMBIENT_MEMBERS = new Set(['Date.now', 'Math.random'])
const AMBIENT_FUNCTIONS = new Set([
  'Date',
  'fetch',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'randomBytes',
  'randomInt',
  'randomUUID',
  'getRandomValues',
])

/** Parses one file. `text` is given apart from `path` so that the rules can be tried on made-up sources. */
export function parseSource(path: string, text: string): SourceFile {
  const { program, module, errors } = parseSync(path, text)
  if (errors.length > 0) throw new Error(`${path}: ${errors[0]?.message}`)
  const imports = [
    ...module.staticImports.map((entry) => entry.moduleRequest.value),
    ...module.staticExports.flatMap((entry) => entry.entries.map((e) => e.moduleRequest?.value)),
  ].filter((value) => value !== undefined)
  const ambient: SourceFile['ambient'] = []
  const note = (name: string, at: number) =>
    ambient.push({ name, line: text.slice(0, at).split('\n').length })

  new Visitor({
    ImportExpression({ source }) {
      imports.push(source.type === 'Literal' ? String(source.value) : '(computed)')
    },
    TSImportType({ source }) {
      imports.push(source.value)
    },
    MemberExpression({ object, property, start }) {
      if (object.type !== 'Identifier') return
      const member = property.type === 'Identifier' ? property.name : '[…]'
      const name = `${object.name}.${member}`
      if (AMBIENT_OBJECTS.has(object.name) || AMBIENT_MEMBERS.has(name)) note(name, start)
    },
    VariableDeclarator({ init, start }) {
      // `const { env } = process` is the same door with another handle.
      if (init?.type === 'Identifier' && AMBIENT_OBJECTS.has(init.name)) note(init.name, start)
    },
    NewExpression({ callee, arguments: args, start }) {
      if (callee.type === 'Identifier' && callee.name === 'Date' && args.length === 0)
        note('new Date()', start)
    },
    CallExpression({ callee, start }) {
      const name = callee.type === 'MemberExpression' ? callee.property : callee
      if (name.type === 'Identifier' && AMBIENT_FUNCTIONS.has(name.name)) note(name.name, start)
    },
  }).visit(program)
  return { path, imports: [...new Set(imports)], ambient }
}

/** The repository path a relative import means, or `undefined` for a package. */
export function resolveImport(from: string, specifier: string): string | undefined {
  return specifier.startsWith('.') ? posix.join(posix.dirname(from), specifier) : undefined
}

/** One cycle of a graph as the list of its nodes, first node repeated at the end; `undefined` if none. */
export function findCycle(graph: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const done = new Set<string>()
  const trail: string[] = []
  const visit = (node: string): string[] | undefined => {
    if (done.has(node)) return undefined
    const seenAt = trail.indexOf(node)
    if (seenAt >= 0) return [...trail.slice(seenAt), node]
    trail.push(node)
    for (const next of graph.get(node) ?? []) {
      const cycle = visit(next)
      if (cycle) return cycle
    }
    trail.pop()
    done.add(node)
    return undefined
  }
  for (const node of graph.keys()) {
    const cycle = visit(node)
    if (cycle) return cycle
  }
  return undefined
}
