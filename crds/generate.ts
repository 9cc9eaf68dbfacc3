/** `node crds/generate.ts` writes the generated files, `--check` names those that differ and exits with 1. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CHART_FOLDER, type GeneratedFile, generatedFiles, MANIFEST_FOLDER } from './generated-files.ts'

const REPOSITORY = join(import.meta.dirname, '..')
const read = (path: string) => readFileSync(join(REPOSITORY, path), 'utf8')

function readIfThere(path: string): string | undefined {
  try {
    return read(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Left over from a kind that is gone. */
function strayFiles(files: readonly GeneratedFile[]): string[] {
  const expected = new Set(files.map(({ path }) => path))
  return [MANIFEST_FOLDER, CHART_FOLDER]
    .flatMap((folder) => readdirSync(join(REPOSITORY, folder)).map((name) => `${folder}/${name}`))
    .filter((path) => path.endsWith('.yaml') && !expected.has(path))
}

const files = generatedFiles(read)
const drifted = files.filter(({ path, content }) => readIfThere(path) !== content)
const stray = strayFiles(files)

if (process.argv.includes('--check')) {
  for (const { path } of drifted) process.stderr.write(`${path}: differs from crds/; run \`make generate\`\n`)
  for (const path of stray) process.stderr.write(`${path}: no kind in crds/ generates it; delete it\n`)
  if (drifted.length + stray.length > 0) process.exitCode = 1
} else {
  for (const { path, content } of drifted) {
    writeFileSync(join(REPOSITORY, path), content)
    process.stdout.write(`${path}\n`)
  }
  for (const path of stray) process.stderr.write(`${path}: no kind in crds/ generates it; delete it\n`)
}
