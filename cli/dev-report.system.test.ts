import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { parseTar } from 'nanotar'
import { expect, it } from 'vitest'
import { runProgram } from '../test-support/run-program.ts'
import { DevProcess, Workspace } from './dev-process.fixture.ts'

const CANARY = 'canary-0b93'
const SECRET = `apiVersion: v1
kind: Secret
metadata: { name: mine }
stringData: { password: ${CANARY} }
`
/** Has no certificate in it that is public anyway. */
const IS_SECRET = /(\.key|\/token)$/

it('hublet report of a running hublet dev has manifests and certificates, and no key, token or password', async () => {
  const workspace = await Workspace.make()
  workspace.write('secret.yaml', SECRET)
  const dev = await DevProcess.start(workspace)
  const args = [join(import.meta.dirname, 'main.ts'), 'report', '-f', 'manifests', '--out', 'report.tar.gz']
  const { code, stderr } = await runProgram(process.execPath, args, {
    cwd: workspace.path,
    timeoutMs: 60_000,
  })
  await dev.stop()
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  // A copy: nanotar reads the whole memory that a small Buffer is a part of.
  const files = parseTar(Uint8Array.from(gunzipSync(readFileSync(join(workspace.path, 'report.tar.gz')))))
  const textOf = (name: string) => files.find((file) => file.name === `hublet-report/${name}`)?.text ?? ''
  const kinds = (JSON.parse(textOf('objects.json')) as Array<{ kind: string }>).map(({ kind }) => kind)
  expect(kinds.sort()).toEqual(['Device', 'Device', 'Device', 'Hub', 'Network', 'Network', 'Secret'])
  expect(textOf('data/garden/ca.crt')).toContain('BEGIN CERTIFICATE')
  const all = files.map(({ text }) => text).join('\n')
  expect(all).not.toContain(CANARY)
  expect(all).not.toContain('PRIVATE KEY')
  const secrets = workspace.dataFiles().filter((name) => IS_SECRET.test(name))
  expect(secrets.length).toBeGreaterThan(3)
  for (const name of secrets) {
    expect(textOf('data-folder.txt')).toContain(name)
    expect(all).not.toContain(workspace.read('.hublet', name).trim())
  }
})
