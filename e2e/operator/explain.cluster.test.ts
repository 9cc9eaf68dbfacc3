import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { KINDS } from '../../crds/kinds.ts'
import { installKinds } from '../../operator/operator.fixture.ts'
import { TestNamespace } from '../../test-support/cluster.ts'
import { Kubectl } from '../../test-support/kubectl.ts'

/** kubectl processes at a time. */
const WORKERS = 4

let space: TestNamespace
let kubectl: Kubectl

beforeAll(async () => {
  space = await TestNamespace.create('explain')
  await installKinds(space.client)
  kubectl = await Kubectl.create(space.name)
  // The document that kubectl reads follows the kinds a moment later.
  await vi.waitFor(() => Promise.all(KINDS.map(({ plural }) => kubectl.run('explain', plural))), {
    timeout: 60_000,
    interval: 200,
  })
})
afterAll(async () => {
  kubectl?.close()
  await space?.remove()
})

/** Every field that has fields of its own, by the indentation of `--recursive`. */
async function branches(root: string): Promise<string[]> {
  const text = await kubectl.run('explain', root, '--recursive')
  const found = new Set([root])
  const above = [root]
  for (const [, indentation = '', name = ''] of text.matchAll(/^((?: {2})+)(\S+)\t<.*>.*$/gm)) {
    const depth = indentation.length / 2
    above.splice(depth)
    found.add(above.join('.'))
    above[depth] = name
  }
  return [...found]
}

/** The fields that `kubectl explain` lists under one, each with the text that stands below it. */
async function fieldsOf(branch: string): Promise<Array<{ path: string; text: string }>> {
  const [, list = ''] = (await kubectl.run('explain', branch)).split('\nFIELDS:\n')
  return list
    .split(/^ {2}(?=\S+\t<)/m)
    .slice(1)
    .map((block) => {
      const [head = '', ...lines] = block.split('\n')
      const text = lines.filter((line) => line.startsWith('    ')).join(' ')
      return { path: `${branch}.${head.split('\t')[0]}`, text: text.trim() }
    })
}

describe('kubectl explain', () => {
  it.each(KINDS)('has a text for every field of $plural', async ({ plural }) => {
    const queue = [...(await branches(`${plural}.spec`)), ...(await branches(`${plural}.status`))]
    const found: Array<{ path: string; text: string }> = []
    const work = async () => {
      for (let next = queue.pop(); next !== undefined; next = queue.pop())
        found.push(...(await fieldsOf(next)))
    }
    await Promise.all(Array.from({ length: WORKERS }, work))
    expect(found.length).toBeGreaterThan(20)
    const bare = found.filter(({ text }) => text.length < 10 || text.includes('<no description>'))
    expect(bare).toEqual([])
  })

  it('has a text for each kind', async () => {
    for (const { plural } of KINDS) {
      const text = await kubectl.run('explain', plural)
      expect(/DESCRIPTION:\n {4}(.*)\n/.exec(text)?.[1]?.length, plural).toBeGreaterThan(20)
    }
  })
})
