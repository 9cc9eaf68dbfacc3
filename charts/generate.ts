/** `node charts/generate.ts` writes what is generated in charts/hublet; `--check` names what differs, and exits with 1. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { generatedFiles } from './generated-files.ts'

const ROOT = join(import.meta.dirname, '..')
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')

function readIfThere(path: string): string | undefined {
  try {
    return read(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

const { version } = JSON.parse(read('package.json')) as { version: string }
const isCheck = process.argv.includes('--check')
for (const { path, content } of generatedFiles(version, read)) {
  if (readIfThere(path) === content) continue
  if (isCheck) {
    process.stderr.write(`${path}: differs from charts/*.ts; run \`make generate\`\n`)
    process.exitCode = 1
  } else {
    writeFileSync(join(ROOT, path), content)
    process.stdout.write(`${path}\n`)
  }
}
