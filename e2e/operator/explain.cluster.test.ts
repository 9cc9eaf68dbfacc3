import { describe, expect, it, vi } from 'vitest'
import { KINDS } from '../../crds/kinds.ts'
import { API_VERSION } from '../../crds/meta.ts'
import { installKinds } from '../../operator/operator.fixture.ts'
import { TestNamespace } from '../../test-support/cluster.ts'

interface Schema {
  description?: string
  properties?: Record<string, Schema>
  items?: Schema
  additionalProperties?: Schema
  allOf?: Schema[]
  $ref?: string
}

interface Document {
  components: { schemas: Record<string, Schema> }
}

/** `kubectl explain` prints these texts; it reads them from this document and nowhere else. */
const OPENAPI = `/openapi/v3/apis/${API_VERSION}`

describe('kubectl explain', () => {
  it.each(KINDS.map(({ kind }) => kind))('has a text for every field of a %s', async (kind) => {
    const space = await TestNamespace.create('explain')
    await installKinds(space.client)
    const [group = '', version] = API_VERSION.split('/')
    const name = `${group.split('.').reverse().join('.')}.${version}.${kind}`
    // The document follows the kinds a moment later.
    const schema = await vi.waitFor(
      async () => {
        const { body } = await space.client.request<Document>({ method: 'GET', path: OPENAPI })
        expect(body.components.schemas).toHaveProperty([name])
        return body.components.schemas[name]
      },
      { timeout: 30_000, interval: 200 },
    )
    const { spec, status } = schema?.properties ?? {}
    const found = [...fields(spec, 'spec'), ...fields(status, 'status')]
    expect(found.length).toBeGreaterThan(10)
    expect(found.filter(({ text }) => text === '').map(({ path }) => path)).toEqual([])
    await space.remove()
  })
})

function fields(schema: Schema | undefined, path: string): Array<{ path: string; text: string }> {
  if (schema === undefined) return []
  const inner = schema.items ?? schema.additionalProperties ?? schema
  return [
    { path, text: schema.description ?? '' },
    ...Object.entries(inner.properties ?? {}).flatMap(([name, child]) => fields(child, `${path}.${name}`)),
  ]
}
