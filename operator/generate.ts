/** Writes what is generated from the operator's code. With `--check` it only compares, and fails on a difference. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { rbacManifest } from './rbac.ts'

const ROOT = join(import.meta.dirname, '..')
const FILES = [{ path: 'deploy/rbac.yaml', content: rbacManifest() }]

const read = (path: string): string => {
  try {
    return readFileSync(join(ROOT, path), 'utf8')
  } catch {
    return ''
  }
}

const isCheck = process.argv.includes('--check')
for (const { path, content } of FILES.filter((file) => read(file.path) !== file.content)) {
  if (isCheck) {
    process.stderr.write(`${path} is not what operator/ says: run make generate\n`)
    process.exitCode = 1
  } else {
    mkdirSync(dirname(join(ROOT, path)), { recursive: true })
    writeFileSync(join(ROOT, path), content)
    process.stdout.write(`${path}\n`)
  }
}
