import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { routeStreamContract } from './route-stream.contract.ts'
import { createSqliteStore } from './sqlite-store.ts'
import type { AcceptRequest, Store } from './store.ts'

const BUFFER = { messages: 100_000, bytes: 1e9, overflow: 'DropNewest' } as const
const LIMITS = { queueMessages: 100_000, queueBytes: 1e9, queueOverflow: 'DropNewest' } as const
const newDirectory = () => mkdtempSync(join(tmpdir(), 'hublet-routes-'))

routeStreamContract(
  'the SQLite store',
  async () => {
    const directory = newDirectory()
    const path = join(directory, 'hub.db')
    let store = createSqliteStore(path)
    return {
      store,
      reopen: async () => {
        await store.close()
        store = createSqliteStore(path)
        return store
      },
      cleanup: async () => {
        await store.close()
        rmSync(directory, { recursive: true })
      },
    }
  },
  { durable: true },
)

describe('the route streams of the SQLite store', () => {
  let directory: string
  let path: string
  const opened: Store[] = []

  beforeEach(() => {
    directory = newDirectory()
    path = join(directory, 'hub.db')
  })
  afterEach(async () => {
    for (const store of opened.splice(0)) await store.close()
    rmSync(directory, { recursive: true })
  })

  async function openStore(): Promise<Store> {
    const store = createSqliteStore(path)
    opened.push(store)
    await store.open(LIMITS)
    return store
  }
  async function putSession(store: Store): Promise<string[]> {
    await store.putSession({ key: 's', deviceId: 'd', clientId: 's', subscriptions: [] })
    return ['s']
  }
  function request(payload: Buffer, keys: string[]): AcceptRequest {
    const message = { topic: 't', payload, qos: 1 as const, retain: false }
    return { message, targets: keys.map((sessionKey) => ({ sessionKey, qos: 1, retain: false })) }
  }
  /** In a copy of the files as they are now: the store has them locked. */
  function rowsNow(table: string): number {
    const copy = join(directory, 'copy.db')
    for (const suffix of ['', '-wal']) {
      const content = existsSync(path + suffix) ? readFileSync(path + suffix) : Buffer.alloc(0)
      writeFileSync(copy + suffix, content)
    }
    const db = new DatabaseSync(copy)
    const count = Number(db.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.['n'])
    db.close()
    return count
  }

  const into = [{ routeId: 'r', partitions: 1, buffer: BUFFER }]
  const place = { routeId: 'r', partition: 0 }
  const read = (store: Store, limit: number) =>
    store.routes().read(place, { limit, waitMs: 0, signal: new AbortController().signal })

  test('share the message of a queue, and let go of it with the last of both', async () => {
    const store = await openStore()
    const keys = await putSession(store)
    const twice = [...into, { ...into[0]!, routeId: 'other' }]
    await store.accept({ ...request(Buffer.from('m'), keys), routes: { into: twice, id: 'x', time: 1 } })
    expect(rowsNow('body')).toBe(1)
    store.acknowledge(keys[0]!, 1)
    await store.routes().settle(place, ['1'])
    expect(rowsNow('body')).toBe(1)
    await store.routes().settle({ ...place, routeId: 'other' }, ['1'])
    expect(rowsNow('body')).toBe(0)
  })

  test('give large messages in pages that fit the memory', async () => {
    const store = await openStore()
    for (const id of ['a', 'b', 'c']) {
      await store.accept({ ...request(Buffer.alloc(4 * 1024 * 1024), []), routes: { into, id, time: 1 } })
    }
    expect((await read(store, 10)).map(({ id }) => id)).toEqual(['a', 'b'])
  })

  test('are swept away bit by bit once their route is removed', async () => {
    const store = await openStore()
    const sent = Array.from({ length: 1200 }, (_, i) =>
      store.accept({ ...request(Buffer.from('m'), []), routes: { into, id: String(i), time: 1 } }),
    )
    await Promise.all(sent)
    await store.routes().removeRoute('r')
    await expect.poll(() => rowsNow('body')).toBe(0)
    expect(rowsNow('route_entry')).toBe(0)
  })

  test('refuse calls while the store is not open', async () => {
    const store = createSqliteStore(path)
    await expect(read(store, 1)).rejects.toMatchObject({ code: 'STORE_CLOSED' })
    await expect(store.routes().backlog('r')).rejects.toMatchObject({ code: 'STORE_CLOSED' })
  })

  test('takes over a file of the version before routes, with all that is in it', async () => {
    const old = await openStore()
    const keys = await putSession(old)
    await old.accept(request(Buffer.from('queued'), keys))
    await old.close()
    const db = new DatabaseSync(path)
    for (const table of ['route_stream', 'route_entry', 'route_letter']) db.exec(`DROP TABLE ${table}`)
    db.exec('UPDATE hublet_store SET version = 1')
    db.close()
    const store = await openStore()
    const routes = { into: [{ routeId: 'r', partitions: 1, buffer: BUFFER }], id: 'x', time: 1 }
    await store.accept({ ...request(Buffer.from('both'), keys), routes })
    const queued = await store.readQueue(keys[0]!, 0, 9, 0)
    expect(queued.map(({ message }) => message.payload.toString())).toEqual(['queued', 'both'])
    expect(await store.routes().backlog('r')).toMatchObject({ messages: 1 })
    expect(rowsNow('hublet_store WHERE version = 2')).toBe(1)
  })
})
