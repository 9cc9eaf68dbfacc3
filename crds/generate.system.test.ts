import { spawnSync } from 'node:child_process'
import { appendFileSync, cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

const REPOSITORY = join(import.meta.dirname, '..')

let copy: string
beforeEach(() => {
  copy = mkdtempSync(join(tmpdir(), 'hublet-generate-'))
  for (const folder of ['crds', 'charts/hublet-crds', 'docs/spec', 'package.json'])
    cpSync(join(REPOSITORY, folder), join(copy, folder), { recursive: true })
  symlinkSync(join(REPOSITORY, 'node_modules'), join(copy, 'node_modules'))
})
afterEach(() => rmSync(copy, { recursive: true }))

function generate(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(copy, 'crds/generate.ts'), ...args], {
    encoding: 'utf8',
  })
  return { status, stdout, stderr }
}

test('what is checked in is what crds/ says', () => {
  expect(generate('--check')).toEqual({ status: 0, stdout: '', stderr: '' })
})

test('--check names what differs and what is left over, and generating repairs the former', () => {
  appendFileSync(join(copy, 'crds/manifests/hubs.iot.hublet.dev.yaml'), '# edited\n')
  rmSync(join(copy, 'charts/hublet-crds/templates/routes.iot.hublet.dev.yaml'))
  const drift = generate('--check')
  expect(drift.status).toBe(1)
  expect(drift.stderr.split('\n').filter(Boolean)).toEqual([
    'crds/manifests/hubs.iot.hublet.dev.yaml: differs from crds/; run `make generate`',
    'charts/hublet-crds/templates/routes.iot.hublet.dev.yaml: differs from crds/; run `make generate`',
  ])

  const repair = generate()
  expect(repair.stdout.split('\n').filter(Boolean)).toEqual([
    'crds/manifests/hubs.iot.hublet.dev.yaml',
    'charts/hublet-crds/templates/routes.iot.hublet.dev.yaml',
  ])
  expect(generate('--check').status).toBe(0)

  writeFileSync(join(copy, 'crds/manifests/gadgets.iot.hublet.dev.yaml'), '')
  expect(generate('--check')).toMatchObject({
    status: 1,
    stderr: 'crds/manifests/gadgets.iot.hublet.dev.yaml: no kind in crds/ generates it; delete it\n',
  })
})
