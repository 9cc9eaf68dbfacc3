import { execFileSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import {
  findCycle,
  parseSource,
  readTracked,
  resolveImport,
  type SourceFile,
  trackedFiles,
} from './source-graph.ts'

/** Folder → the other folders its product code may import. The reason for each is in docs/architecture. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  crds: [],
  contract: ['crds'],
  operator: ['crds', 'contract'],
  broker: ['contract'],
  routes: ['crds', 'contract'],
  sidecar: ['contract', 'broker', 'routes'],
  cli: ['crds', 'contract', 'operator', 'broker', 'routes'],
  console: [],
  charts: ['crds', 'contract', 'operator'],
}

/** Folders of programs and helpers that only tests and measurements use: free to import anything. */
const FREE_FOLDERS = new Set(['bench', 'e2e', 'scripts', 'test-support'])

/** Decisions live here, so clock, randomness, environment and I/O are arguments. */
const PURE = [/^contract\//, /^broker\/policy\//, /^operator\/compile\//]
const IMPURE_MODULES =
  /^(node:(fs|net|http|https|http2|tls|dgram|dns|os|child_process|cluster|worker_threads|sqlite|timers)(\/.*)?|ioredis|@kubernetes\/client-node|aedes|ws|undici|pino)$/

const MAX_LINES = 400

const topFolder = (path: string) => (path.includes('/') ? path.slice(0, path.indexOf('/')) : '')
const isTest = (path: string) => /\.(test|contract|fixture|oracle)\.ts$/.test(path)
const isProduct = (path: string) => !isTest(path) && topFolder(path) in MAY_IMPORT

const files = trackedFiles()
const sources = files
  .filter((path) => path.endsWith('.ts'))
  .map((path) => parseSource(path, readTracked(path)))
const product = sources.filter((source) => isProduct(source.path))
const ownImports = (source: SourceFile) =>
  source.imports.flatMap((specifier) => resolveImport(source.path, specifier) ?? [])

function wrongDirections(source: SourceFile): string[] {
  const here = topFolder(source.path)
  return ownImports(source)
    .filter((target) => topFolder(target) !== here || isTest(target))
    .filter((target) => isTest(target) || !MAY_IMPORT[here]?.includes(topFolder(target)))
    .map((target) => `${source.path} imports ${target}`)
}

function impurities(source: SourceFile): string[] {
  return [
    ...source.imports
      .filter((specifier) => IMPURE_MODULES.test(specifier))
      .map((specifier) => `${source.path} imports ${specifier}`),
    ...source.ambient.map(({ name, line }) => `${source.path}:${line} uses ${name}`),
  ]
}

describe('import directions', () => {
  it('reads the tracked sources', () => {
    expect(product.length).toBeGreaterThan(10)
  })

  it('gives every top-level folder with TypeScript in it a place in the table', () => {
    const folders = new Set(sources.map((source) => topFolder(source.path)))
    const unknown = [...folders].filter(
      (name) => name !== '' && !(name in MAY_IMPORT) && !FREE_FOLDERS.has(name),
    )
    expect(unknown).toEqual([])
  })

  it('lets product code import only the folders it may', () => {
    expect(product.flatMap(wrongDirections)).toEqual([])
  })

  it('lets product code use only packages that are installed with it', () => {
    const { dependencies } = JSON.parse(readTracked('package.json')) as {
      dependencies: Record<string, string>
    }
    const packageOf = (specifier: string) => specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
    const unmet = product.flatMap((source) =>
      source.imports
        .filter((specifier) => !specifier.startsWith('.') && !specifier.startsWith('node:'))
        .filter((specifier) => !(packageOf(specifier) in dependencies))
        .map((specifier) => `${source.path} imports ${specifier}`),
    )
    expect(unmet).toEqual([])
  })

  it('keeps policy, compile and contract free of clocks, randomness, environment and I/O', () => {
    const pure = product.filter((source) => PURE.some((pattern) => pattern.test(source.path)))
    expect(pure.flatMap(impurities)).toEqual([])
  })

  it('ends the process nowhere but in a main.ts', () => {
    const exits = sources
      .filter((source) => !isTest(source.path) && !/(^|\/)main\.ts$/.test(source.path))
      .flatMap((source) =>
        source.ambient
          .filter(({ name }) => /^process\.(exit|abort|kill|reallyExit)$/.test(name))
          .map(({ name, line }) => `${source.path}:${line} calls ${name}`),
      )
      // Killing a child by its pid is how tests stop what they started.
      .filter((finding) => !(finding.endsWith('process.kill') && FREE_FOLDERS.has(topFolder(finding))))
    expect(exits).toEqual([])
  })

  it('has no cycle between files', () => {
    expect(findCycle(new Map(sources.map((source) => [source.path, ownImports(source)])))).toBeUndefined()
  })

  it('has no cycle between top-level folders', () => {
    const graph = new Map<string, string[]>()
    for (const source of product) {
      const here = topFolder(source.path)
      const others = ownImports(source)
        .map(topFolder)
        .filter((name) => name !== here)
      graph.set(here, [...(graph.get(here) ?? []), ...others])
    }
    expect(findCycle(graph)).toBeUndefined()
  })
})

describe('tracked files', () => {
  it(`keep to ${MAX_LINES} lines of TypeScript, tests and generated files aside`, () => {
    const long = sources
      .filter(({ path }) => !isTest(path) && !/\.generated\./.test(path))
      .map(({ path }) => ({ path, lines: readTracked(path).split('\n').length - 1 }))
      .filter(({ lines }) => lines > MAX_LINES)
    expect(long).toEqual([])
  })

  it('name no path of one machine and no package registry', () => {
    // Put together here so that this file does not find itself.
    const patterns = [
      new RegExp(`(?<![\\w.~-])/(?:${['work', 'root', 'tmp', 'home/\\w+', 'Users/\\w+'].join('|')})/\\w`),
      new RegExp(
        `https?://[^\\s"']*(?:${['registry', 'artifactory', 'verdaccio', 'nexus'].join('|')})[^\\s"']*`,
      ),
      ...registryOfThisMachine(),
    ]
    const found = files
      .filter((path) => !/\.(png|jpe?g|gif|ico|woff2?|tgz|gz|zip)$/.test(path))
      .flatMap((path) =>
        readTracked(path)
          .split('\n')
          .flatMap((line, at) =>
            patterns.some((pattern) => pattern.test(line))
              ? [`${path}:${at + 1} ${line.trim().slice(0, 120)}`]
              : [],
          ),
      )
    expect(found).toEqual([])
  })
})

/** Whatever npm is set to on this machine must not have slipped into a lock file or a page. */
function registryOfThisMachine(): RegExp[] {
  const url = execFileSync('npm', ['config', 'get', 'registry'], { encoding: 'utf8' }).trim()
  const { hostname } = URL.canParse(url) ? new URL(url) : { hostname: '' }
  // A proxy on this very machine has no name of its own that could leak.
  if (hostname === '' || /^(localhost|127\.|\[)/.test(hostname)) return []
  return [new RegExp(hostname.replaceAll('.', '\\.'))]
}

describe('the rules themselves', () => {
  it.each([
    ['a static import', "import { a } from '../broker/a.ts'", '../broker/a.ts'],
    ['a type import', "import type { A } from '../broker/a.ts'", '../broker/a.ts'],
    ['an import for its effect', "import '../broker/a.ts'", '../broker/a.ts'],
    ['an export from', "export { a } from '../broker/a.ts'", '../broker/a.ts'],
    ['an export of everything', "export * from '../broker/a.ts'", '../broker/a.ts'],
    ['a dynamic import', "const a = await import('../broker/a.ts')", '../broker/a.ts'],
    ['a type written as import()', "let a: import('../broker/a.ts').A", '../broker/a.ts'],
    ['a dynamic import of a computed name', 'const a = await import(name)', '(computed)'],
  ])('see %s', (_, text, expected) => {
    expect(parseSource('contract/x.ts', text).imports).toEqual([expected])
  })

  it.each([
    ['Date.now', 'const t = Date.now()'],
    ['new Date()', 'const t = new Date()'],
    ['Date', 'const t = Date()'],
    ['Math.random', 'const r = Math.random()'],
    ['process.env', 'const e = process.env.HOME'],
    ['process', 'const { env } = process'],
    ['performance.now', 'const t = performance.now()'],
    ['randomUUID', "import { randomUUID } from 'node:crypto'\nconst id = randomUUID()"],
    ['fetch', "const r = await fetch('x')"],
  ])('see the use of %s', (name, text) => {
    expect(parseSource('contract/x.ts', text).ambient.map((use) => use.name)).toContain(name)
  })

  it('let a date be made from a given time', () => {
    expect(parseSource('contract/x.ts', 'const t = new Date(now).toISOString()').ambient).toEqual([])
  })

  it('refuse what the table does not name', () => {
    const source = parseSource('broker/x.ts', "import { c } from '../operator/compile/c.ts'")
    expect(wrongDirections(source)).toEqual(['broker/x.ts imports operator/compile/c.ts'])
  })

  it('refuse product code that imports a test', () => {
    const source = parseSource('broker/x.ts', "import { c } from './store.contract.ts'")
    expect(wrongDirections(source)).toEqual(['broker/x.ts imports broker/store.contract.ts'])
  })

  it('name a cycle by its nodes', () => {
    expect(
      findCycle(
        new Map([
          ['a', ['b']],
          ['b', ['c']],
          ['c', ['b']],
        ]),
      ),
    ).toEqual(['b', 'c', 'b'])
    expect(
      findCycle(
        new Map([
          ['a', ['b', 'c']],
          ['b', ['c']],
        ]),
      ),
    ).toBeUndefined()
  })
})
