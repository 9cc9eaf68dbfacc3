import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createSqliteStore, type SqliteStoreOptions } from './sqlite-store.ts'
import { storeContract } from './store.contract.ts'
import type { AcceptRequest, ApplicationMessage, Store } from './store.ts'

const CHILD = join(import.meta.dirname, 'sqlite-child.fixture.ts')
const LIMITS = { queueMessages: 100_000, queueBytes: 1e9, queueOverflow: 'DropNewest' } as const

/** `wrapper`: a command to start the child with. */
function startChild(wrapper: string[], ...args: string[]) {
  const [command, ...rest] = [...wrapper, process.execPath, CHILD, ...args]
  return spawn(command!, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
}

/** Garbage over the head of a page of payloads: neither the root of its tree nor the last, which `open` reads. */
function damagePayloads(file: Buffer): Buffer {
  const page = Math.floor(file.indexOf('ZZZZ', file.length / 2) / 4096) * 4096
  return file.fill(0xa5, page, page + 64)
}

const newDirectory = () => mkdtempSync(join(tmpdir(), 'hublet-store-'))

async function makeStore() {
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
}

storeContract('the SQLite store', makeStore, { durable: true })

describe('the SQLite store', () => {
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

  async function openStore(options: SqliteStoreOptions = {}): Promise<Store> {
    const store = createSqliteStore(path, { lockWaitMs: 20, ...options })
    opened.push(store)
    await store.open(LIMITS)
    return store
  }
  async function putSessions(store: Store, count: number): Promise<string[]> {
    const keys = Array.from({ length: count }, (_, i) => `s/${i}`)
    const put = keys.map((key) => store.putSession({ key, deviceId: 'd', clientId: key, subscriptions: [] }))
    await Promise.all(put)
    return keys
  }
  function request(payload: Buffer, keys: string[], extra: Partial<ApplicationMessage> = {}): AcceptRequest {
    const message = { topic: 't', payload, qos: 1 as const, retain: false, ...extra }
    return { message, targets: keys.map((sessionKey) => ({ sessionKey, qos: 1, retain: false })) }
  }
  async function rows(table: string): Promise<number> {
    for (const store of opened.splice(0)) await store.close()
    return rowsNow(table)
  }
  /** What a killed process would leave behind is in a copy of the files as they are now. */
  function copyNow(): string {
    const copy = join(directory, 'copy.db')
    for (const suffix of ['', '-wal']) {
      const content = existsSync(path + suffix) ? readFileSync(path + suffix) : Buffer.alloc(0)
      writeFileSync(copy + suffix, content)
    }
    return copy
  }
  function rowsNow(table: string): number {
    const db = new DatabaseSync(copyNow())
    const count = Number(db.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.['n'])
    db.close()
    return count
  }

  describe('on disk', () => {
    test('keeps its files to its owner, also one that was open to others', async () => {
      const mode = (suffix: string) => statSync(path + suffix).mode & 0o777
      await (await openStore()).close()
      expect(mode('')).toBe(0o600)
      chmodSync(path, 0o644)
      const store = await openStore()
      await putSessions(store, 1)
      expect(mode('')).toBe(0o600)
      expect(mode('-wal')).toBe(0o600)
    })

    test('makes the folder it is told to live in', async () => {
      path = join(directory, 'deep', 'er', 'hub.db')
      await openStore()
      expect(statSync(join(directory, 'deep')).mode & 0o777).toBe(0o700)
    })

    test('leaves one file behind when it is closed', async () => {
      await (await openStore()).close()
      expect(existsSync(path)).toBe(true)
      expect(existsSync(`${path}-wal`)).toBe(false)
    })

    test('stores a message for a thousand sessions once', async () => {
      const store = await openStore()
      const keys = await putSessions(store, 1000)
      await store.accept(request(Buffer.alloc(200_000, 'x'), keys))
      expect((await store.readQueue(keys[999]!, 0, 1, 0))[0]?.message.payload).toHaveLength(200_000)
      await store.close()
      expect(statSync(path).size).toBeLessThan(600_000)
      expect(await rows('body')).toBe(1)
      expect(await rows('queue')).toBe(1000)
    })

    test('lets go of a message with the last that refers to it', async () => {
      const store = await openStore()
      const [a, b, c] = (await putSessions(store, 3)) as [string, string, string]
      await store.accept({ ...request(Buffer.from('m'), [a, b]), retained: 'Set' })
      await store.accept(request(Buffer.from('single'), [c]))
      store.acknowledge(a, 1)
      await store.release(b, 1)
      expect(await rows('body')).toBe(2)
      const again = await openStore()
      await again.accept({ ...request(Buffer.alloc(0), []), retained: 'Clear' })
      again.acknowledge(c, 1)
      expect(await rows('body')).toBe(0)
      expect(await rows('body_refs')).toBe(0)
    })

    test('forgets the packet ids of a deleted session', async () => {
      const store = await openStore()
      const [sessionKey] = (await putSessions(store, 1)) as [string]
      await store.accept({ ...request(Buffer.from('m'), []), incoming: { sessionKey, packetId: 1 } })
      await store.deleteSession(sessionKey)
      expect(await rows('incoming')).toBe(0)
    })

    test('writes nothing of a message that no session has room for', async () => {
      const store = await openStore()
      const keys = await putSessions(store, 2)
      store.setLimits({ ...LIMITS, queueMessages: 0 })
      await store.accept(request(Buffer.from('m'), keys))
      expect(await rows('body')).toBe(0)
    })

    test('replaces a message by itself in a queue of one', async () => {
      const store = await openStore()
      const [key] = (await putSessions(store, 1)) as [string]
      store.setLimits({ ...LIMITS, queueMessages: 1, queueOverflow: 'DropOldest' })
      await store.accept(request(Buffer.from('m'), [key, key]))
      expect(await rows('body')).toBe(1)
      const again = await openStore()
      expect((await again.readQueue(key, 0, 9, 0)).map((entry) => entry.seq)).toEqual([2])
      again.acknowledge(key, 2)
      expect(await rows('body')).toBe(0)
    })

    test.each([
      ['while it is open', false],
      ['after a restart', true],
    ])('sweeps the long queue of a deleted session in steps, %s', async (_, restart) => {
      const store = await openStore()
      const [kept, deletedKey] = (await putSessions(store, 2)) as [string, string]
      const accepts: unknown[] = []
      for (let i = 0; i < 2000; i += 1) {
        accepts.push(store.accept(request(Buffer.from('m'), i % 2 ? [deletedKey] : [kept, deletedKey])))
      }
      await Promise.all(accepts)
      const deleted = store.deleteSession(deletedKey)
      if (restart) await store.close()
      await deleted
      const open = restart ? await openStore() : store
      // Its namesake must not meet what is left of it.
      await putSessions(open, 2)
      expect(await open.accept(request(Buffer.from('new'), [deletedKey]))).toMatchObject({ seqs: [1] })
      expect(await open.readQueue(deletedKey, 0, 2000, 0)).toHaveLength(1)
      await expect.poll(() => rowsNow('queue')).toBe(1001)
      expect(rowsNow('body')).toBe(1001)
      expect(await open.readQueue(kept, 0, 2000, 0)).toHaveLength(1000)
    })
  })

  describe('at open', () => {
    test('refuses a file that another process holds, and takes it once that was killed', async () => {
      const child = startChild([], 'hold', path)
      await once(child.stdout, 'data')
      await expect(openStore()).rejects.toMatchObject({
        code: 'STORE_IN_USE',
        message: `store ${path} is in use by another process`,
      })
      child.kill('SIGKILL')
      await once(child, 'exit')
      await openStore()
    })

    test('refuses a second store on its file in the same process', async () => {
      const first = await openStore()
      await expect(openStore()).rejects.toMatchObject({ code: 'STORE_IN_USE' })
      await expect(first.open(LIMITS)).rejects.toMatchObject({ code: 'STORE_IN_USE' })
      await putSessions(first, 1)
    })

    test('waits for a process that is just ending', async () => {
      const child = startChild([], 'hold', path, '300')
      const exited = once(child, 'exit')
      await once(child.stdout, 'data')
      await openStore({ lockWaitMs: 10_000 })
      await exited
    })

    test('refuses a file from a later version and leaves it as it is', async () => {
      await (await openStore()).close()
      const db = new DatabaseSync(path)
      db.exec('UPDATE hublet_store SET version = 7')
      db.close()
      const before = readFileSync(path)
      await expect(openStore()).rejects.toMatchObject({
        code: 'STORE_TOO_NEW',
        message: expect.stringContaining(`${path} has version 7`),
      })
      expect(readFileSync(path).equals(before)).toBe(true)
    })

    test('refuses the database of another program', async () => {
      const db = new DatabaseSync(path)
      db.exec('CREATE TABLE session (id INTEGER)')
      db.close()
      await expect(openStore()).rejects.toMatchObject({
        code: 'STORE_FOREIGN',
        message: expect.stringContaining(path),
      })
    })

    test.each([
      ['is no database', () => Buffer.from('not a database, but long enough to be looked at'.repeat(99))],
      ['was cut short', (file: Buffer) => file.subarray(0, file.length - 9000)],
      ['has garbage in the middle', (file: Buffer) => file.fill(0xa5, 16_384, file.length - 4096)],
      // Nothing is read from there before a client comes back for its messages.
      ['has garbage where payloads are', damagePayloads],
    ])('names a file that %s', async (_, damage) => {
      const store = await openStore()
      const keys = await putSessions(store, 50)
      for (const key of keys) await store.accept(request(Buffer.alloc(1000, 'Z'), [key]))
      await store.close()
      writeFileSync(path, damage(readFileSync(path)))
      await expect(openStore()).rejects.toMatchObject({
        code: 'STORE_CORRUPT',
        message: expect.stringContaining(`store ${path} is damaged`),
      })
    })

    test('refuses a path that is a folder', async () => {
      path = directory
      await expect(openStore()).rejects.toMatchObject({ code: 'STORE_FAILED' })
    })
  })

  describe('when something fails', () => {
    test('refuses only the call at fault and commits the others of its turn', async () => {
      const store = await openStore()
      const [key] = (await putSessions(store, 1)) as [string]
      const results = await Promise.allSettled([
        store.accept(request(Buffer.from('a'), [key])),
        // Not a topic at all: the column refuses it, half way through the operation.
        store.accept({
          ...request(Buffer.from('b'), [key], { topic: Buffer.from('t') as never }),
          retained: 'Set',
        }),
        store.accept(request(Buffer.from('c'), [key])),
      ])
      expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
      expect(results[2]).toMatchObject({ value: { seqs: [2] } })
      await store.close()
      const again = await openStore()
      const entries = await again.readQueue(key, 0, 9, 0)
      expect(entries.map(({ seq, message }) => [seq, message.payload.toString()])).toEqual([
        [1, 'a'],
        [2, 'c'],
      ])
    })

    test('counts an acknowledgement once that shared its turn with a call at fault', async () => {
      const store = await openStore()
      const [key] = (await putSessions(store, 1)) as [string]
      const send = () => store.accept(request(Buffer.from('m'), [key]))
      await Promise.all([send(), send(), send()])
      store.setLimits({ ...LIMITS, queueMessages: 3 })
      store.acknowledge(key, 1)
      const atFault = store.accept(request(Buffer.from('m'), [key], { topic: null as never }))
      await expect(atFault).rejects.toMatchObject({ code: 'STORE_FAILED' })
      expect(await Promise.all([send(), send()])).toMatchObject([{ seqs: [4] }, { seqs: [null] }])
    })

    test('refuses what does not fit its bound in bytes, keeps its counts right and goes on after acks', async () => {
      const store = await openStore({ maxBytes: 1_000_000 })
      const [key] = (await putSessions(store, 1)) as [string]
      const send = () => store.accept(request(Buffer.alloc(20_000), [key]))
      const results = await Promise.allSettled(Array.from({ length: 100 }, send))
      const refused = results.filter((result) => result.status === 'rejected')
      const stored = results.length - refused.length
      expect(refused[0]?.reason).toMatchObject({ code: 'STORE_FULL', message: expect.stringContaining(path) })
      expect(stored).toBeGreaterThan(20)
      expect(await store.readQueue(key, 0, 1000, 0)).toHaveLength(stored)
      for (let seq = 1; seq <= 10; seq += 1) store.acknowledge(key, seq)
      expect(await send()).toMatchObject({ seqs: [stored + 1] })
      // 20,001 bytes each: had a refused message been counted, this bound would be passed.
      store.setLimits({ ...LIMITS, queueBytes: (stored - 8) * 20_001 })
      expect(await send()).toMatchObject({ seqs: [stored + 2] })
      expect(await send()).toMatchObject({ seqs: [null] })
    })

    test('refuses every call of a turn whose commit finds no room on the disk', async () => {
      const child = startChild(['bash', '-c', 'ulimit -f 400; exec "$@"', 'bash'], 'fill', path)
      let output = ''
      child.stdout.on('data', (data) => {
        output += data
      })
      await once(child, 'close')
      const { stored, refused, code, counted } = JSON.parse(output)
      expect(code).toMatch(/^STORE_(FULL|FAILED)$/)
      expect(refused).toBeGreaterThan(0)
      expect(counted).toBe(stored)
      const store = await openStore()
      expect(await store.readQueue('s/0', 0, 10_000, 0)).toHaveLength(stored)
    })

    test('tells of a lost acknowledgement, which nobody waits for', async () => {
      const errors: unknown[] = []
      const store = await openStore({ onLazyError: (error) => errors.push(error) })
      const [key] = (await putSessions(store, 1)) as [string]
      await store.accept(request(Buffer.from('m'), [key]))
      store.acknowledge(key, {} as never)
      await expect.poll(() => errors).toMatchObject([{ code: 'STORE_FAILED' }])
    })

    test('refuses work before it is open and after it is closed', async () => {
      const store = createSqliteStore(path)
      await expect(putSessions(store, 1)).rejects.toMatchObject({ code: 'STORE_CLOSED' })
      await store.open(LIMITS)
      await store.close()
      await store.close()
      await expect(store.accept(request(Buffer.from('m'), ['s']))).rejects.toMatchObject({
        code: 'STORE_CLOSED',
      })
      store.acknowledge('s', 1)
    })
  })

  test('answers at once when there is nothing to store and nobody waits', async () => {
    const store = await openStore()
    expect(store.accept(request(Buffer.from('m'), []))).toEqual({ duplicate: false, seqs: [], dropped: [] })
  })

  test('keeps the seq of a session whose last entry went before the process was killed', async () => {
    const store = await openStore()
    const [key] = (await putSessions(store, 1)) as [string]
    await store.accept(request(Buffer.from('m'), [key]))
    store.acknowledge(key, 1)
    await store.readQueue(key, 0, 1, 0)
    path = copyNow()
    const again = await openStore()
    expect(await again.accept(request(Buffer.from('m'), [key]))).toMatchObject({ seqs: [2] })
  })
})
