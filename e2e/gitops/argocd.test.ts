import { readFileSync } from 'node:fs'
import path from 'node:path'
import { expect, it } from 'vitest'
import { parse } from 'yaml'
import { KINDS } from '../../crds/kinds.ts'
import { GROUP } from '../../crds/meta.ts'

const FOLDER = path.resolve(import.meta.dirname, '../../deploy/argocd')
const read = (name: string) => readFileSync(path.join(FOLDER, name), 'utf8')

it('the ConfigMap for Argo CD has the health check, as it is tested, for each of our kinds', () => {
  const { data } = parse(read('argocd-cm.yaml')) as { data: Record<string, string> }
  const keys = KINDS.map(({ kind }) => `resource.customizations.health.${GROUP}_${kind}`)
  expect(data).toEqual(Object.fromEntries(keys.map((key) => [key, read('health.lua')])))
})
