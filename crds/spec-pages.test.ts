import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { KINDS } from './kinds.ts'
import { validate } from './validate.ts'

const FOLDER = join(import.meta.dirname, '../docs/spec')

const PAGES = KINDS.map(({ kind, singular }) => {
  const page = readFileSync(join(FOLDER, `${singular}.md`), 'utf8')
  const blocks = [...page.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, block]) => block ?? '')
  return { kind, page, manifests: blocks.flatMap((block) => parseAllDocuments(block)) }
})

describe.each(PAGES)('the page of $kind', ({ kind, manifests }) => {
  test('shows an object of its kind', () => {
    expect(manifests.map((document) => document.get('kind'))).toContain(kind)
  })

  test.each(
    manifests.map((document) => [
      `${document.get('kind')} ${document.getIn(['metadata', 'name'])}`,
      document,
    ]),
  )('shows a manifest that can be applied: %s', (_, document) => {
    expect(document.errors).toEqual([])
    expect(validate(document.toJS())).toMatchObject({ valid: true })
  })
})

test('every reason that the pages name exists', async () => {
  const [{ HUB_REASONS }, { DEVICE_REASONS }, { NETWORK_REASONS }, { ROUTE_REASONS }, { COMMON_REASONS }] =
    await Promise.all([
      import('./hub.ts'),
      import('./device.ts'),
      import('./network.ts'),
      import('./route.ts'),
      import('./meta.ts'),
    ])
  const reasons = {
    ...HUB_REASONS,
    ...DEVICE_REASONS,
    ...NETWORK_REASONS,
    ...ROUTE_REASONS,
    ...COMMON_REASONS,
  }
  const named = PAGES.flatMap(({ page }) => [
    ...page.matchAll(/(?:reports?|reason|or)\s+`([A-Z][A-Za-z]+)`/g),
  ])
    .map(([, reason]) => reason ?? '')
    .filter((reason) => !['REST', 'Gateway', 'Reject', 'WebSocket', 'Sigfox'].includes(reason))
  expect(named.length).toBeGreaterThan(5)
  expect(named.filter((reason) => !(reason in reasons))).toEqual([])
})
