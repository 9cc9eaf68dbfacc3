import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createSqliteStore } from './sqlite-store.ts'
import type { Store } from './store.ts'

const LIMITS = { queueMessages: 1e6, queueBytes: 1e9, queueOverflow: 'DropNewest' } as const
const CHILD = join(import.meta.dirname, 'sqlite-child.fixture.ts')
/** ms from the first acknowledgement to the kill. */
const DELAYS = fc.sample(fc.integer({ min: 0, max: 120 }), { seed: 20_260_823, numRuns: 10 })
/** More than the child has under way at once: ids this far above the last acknowledged one were never sent. */
const MARGIN = 20

describe('killed with SIGKILL at any moment, the SQLite store', () => {
  let directory: string
  let path: string
  const acknowledged: number[] = []
  let next = 1

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'hublet-crash-'))
    path = join(directory, 'hub.db')
  })
  afterAll(() => rmSync(directory, { recursive: true }))

  async function killAfter(delay: number): Promise<number[]> {
    const child = spawn(process.execPath, [CHILD, 'accept', path, String(next)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let output = ''
    child.stdout.on('data', (data) => {
      output += data
    })
    await once(child.stdout, 'data')
    setTimeout(() => child.kill('SIGKILL'), delay)
    await once(child, 'close')
    // What follows the last line end was cut off while it was said.
    return output.split('\n').slice(0, -1).map(Number)
  }

  async function queued(store: Store, key: string): Promise<{ ids: number[]; seqs: number[] }> {
    const entries = await store.readQueue(key, 0, 1e6, 0)
    return {
      ids: entries.map(({ message }) => Number.parseInt(message.payload.toString('latin1'), 10)),
      seqs: entries.map(({ seq }) => seq),
    }
  }

  /** What the route has, which must be what it has counted. */
  async function routed(store: Store): Promise<number[]> {
    const options = { limit: 1e6, waitMs: 0, signal: new AbortController().signal }
    const place = { routeId: 'r', partition: 0 }
    const ids: number[] = []
    for (let after = {}; ; ) {
      const entries = await store.routes().read(place, { ...options, ...after })
      if (entries.length === 0) break
      ids.push(...entries.map(({ id }) => Number(id)))
      after = { after: entries.at(-1)!.position }
    }
    expect(await store.routes().backlog('r')).toMatchObject({ messages: ids.length, dropped: 0 })
    return ids
  }

  test.each(DELAYS)(
    'has every acknowledged message in every queue and route, and of the others all or nothing (after %i ms)',
    async (delay) => {
      const said = await killAfter(delay)
      expect(said.length).toBeGreaterThan(0)
      acknowledged.push(...said)
      const store = createSqliteStore(path)
      await store.open(LIMITS)
      try {
        const { ids, seqs } = await queued(store, 's/0')
        expect((await queued(store, 's/1')).ids).toEqual(ids)
        expect(await routed(store)).toEqual(ids)
        expect(seqs).toEqual(seqs.map((_, i) => i + 1))
        const found = new Set(ids)
        expect(acknowledged.filter((id) => !found.has(id))).toEqual([])
        const last = said.at(-1)!
        for (let id = Math.max(next, last - MARGIN); id < last + MARGIN; id += 1) {
          const message = { topic: 't', payload: Buffer.alloc(0), qos: 2 as const, retain: false }
          const again = await store.accept({
            message,
            targets: [],
            incoming: { sessionKey: 's/0', packetId: id },
          })
          expect(again.duplicate).toBe(found.has(id))
        }
        next = last + MARGIN
      } finally {
        await store.close()
      }
    },
  )
})
