import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { expect, it } from 'vitest'
import { parseSource, readTracked, resolveImport, trackedFiles } from '../source-graph.ts'
import { PRODUCT_FOLDERS, productFiles } from './app-files.ts'

const ROOT = path.resolve(import.meta.dirname, '../..')
const files = productFiles(trackedFiles())
const lines = (file: string) => readFileSync(path.join(ROOT, file), 'utf8').split('\n')

it('product files are code and packages, without tests, manifests and generators', () => {
  expect(files).toEqual(expect.arrayContaining(['operator/main.ts', 'broker/main.ts', 'package-lock.json']))
  expect(
    files.filter((file) => /\btest\b|fixture|\.contract\.ts$|oracle|generate\.ts$|\.yaml$/.test(file)),
  ).toEqual([])
})

it('all that product code imports is in the image too', () => {
  const missing = files
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) =>
      parseSource(file, readTracked(file))
        .imports.flatMap((specifier) => resolveImport(file, specifier) ?? [])
        .filter((target) => !files.includes(target))
        .map((target) => `${file} imports ${target}`),
    )
  expect(missing).toEqual([])
})

it('every script that the product reads from its folder is in the image', () => {
  const others = execFileSync('git', ['ls-files', ...PRODUCT_FOLDERS], { cwd: ROOT, encoding: 'utf8' })
    .split('\n')
    .filter((file) => file !== '' && !file.endsWith('.ts') && !/\.(yaml|md)$/.test(file))
  expect(others.filter((file) => !files.includes(file))).toEqual([])
})

it('the Dockerfile copies the same folders, and lets the same in', () => {
  const copied = lines('Dockerfile').flatMap((line) => /^COPY (\w+)\/ \1\/$/.exec(line)?.[1] ?? [])
  const allowed = lines('.dockerignore').flatMap((line) => /^!([a-z]+)$/.exec(line)?.[1] ?? [])
  expect(copied).toEqual(PRODUCT_FOLDERS)
  expect(allowed).toEqual(expect.arrayContaining(PRODUCT_FOLDERS))
  expect(allowed).toHaveLength(PRODUCT_FOLDERS.length)
})
