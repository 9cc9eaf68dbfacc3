import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openDatabase } from './sqlite-database.ts'
import { SqliteTables } from './sqlite-tables.ts'

const LIMITS = { queueMessages: 2, queueBytes: 1000, queueOverflow: 'DropNewest' } as const
const MESSAGE = { topic: 't', payload: Buffer.from('m'), qos: 1, retain: false } as const
const SESSION = { key: 's', deviceId: 'd', clientId: 'c', subscriptions: [] }
const REQUEST = { message: MESSAGE, targets: [{ sessionKey: 's', qos: 1, retain: false }] } as const

describe('A transaction that is rolled back leaves no trace of', () => {
  let directory: string
  let db: DatabaseSync
  let tables: SqliteTables

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'hublet-tables-'))
    db = openDatabase(join(directory, 'hub.db'), { maxBytes: 1e9, lockWaitMs: 0 })
    tables = new SqliteTables(db)
    tables.load(0)
  })
  afterEach(() => {
    db.close()
    rmSync(directory, { recursive: true })
  })

  const commit = <T>(run: () => T): T => {
    tables.begin()
    const result = run()
    tables.commit()
    return result
  }
  const rollBack = (run: () => void) => {
    tables.begin()
    run()
    tables.rollback()
  }
  const accept = () => commit(() => tables.accept(REQUEST, LIMITS)).seqs[0]
  const seqs = () => commit(() => tables.readQueue('s', 0, 9, 0)).map(({ seq }) => seq)

  test('a session that was new', () => {
    rollBack(() => tables.putSession(SESSION))
    expect(accept()).toBe(null)
    commit(() => tables.putSession(SESSION))
    expect(accept()).toBe(1)
  })

  test('messages, also where the bound counts them', () => {
    commit(() => tables.putSession(SESSION))
    rollBack(() => {
      for (let i = 0; i < 2; i += 1) tables.accept(REQUEST, LIMITS)
    })
    expect([accept(), accept(), accept()]).toEqual([1, 2, null])
  })

  test('acknowledgements and releases', () => {
    commit(() => tables.putSession(SESSION))
    expect([accept(), accept()]).toEqual([1, 2])
    rollBack(() => {
      tables.acknowledge('s', 1)
      tables.release('s', 2)
    })
    expect(accept()).toBe(null)
    expect(seqs()).toEqual([1, 2])
  })

  test('a deletion, so that nothing is swept from a session that lives on', () => {
    commit(() => tables.putSession(SESSION))
    accept()
    rollBack(() => tables.deleteSession('s'))
    expect(tables.toSweep).toBe(0)
    expect(accept()).toBe(2)
    expect(seqs()).toEqual([1, 2])
  })

  test('a sweep, which is then made again', () => {
    commit(() => tables.putSession(SESSION))
    accept()
    commit(() => tables.deleteSession('s'))
    rollBack(() => tables.sweep())
    expect(tables.toSweep).toBe(1)
    commit(() => tables.sweep())
    expect(tables.toSweep).toBe(0)
    expect(db.prepare('SELECT count(*) AS n FROM queue').get()?.['n']).toBe(0)
  })

  describe('a route:', () => {
    const place = { routeId: 'r', partition: 0 }
    const buffer = { messages: 2, bytes: 1000, overflow: 'DropOldest' } as const
    const into = [{ routeId: 'r', partitions: 1, buffer }]
    const append = (id: string) =>
      tables.accept({ message: MESSAGE, targets: [], routes: { into, id, time: 1 } }, LIMITS)
    const ids = () => commit(() => tables.routes.read(place, 0, 9)).map(({ id }) => id)
    const backlog = () => commit(() => tables.routes.backlog('r'))
    const failure = { code: 'X', message: 'x', time: 1 }
    const bury = () => {
      const letters = tables.routes
        .read(place, 0, 9)
        .map((entry) => ({ entry, attempts: 1, firstError: failure, lastError: failure, deadAt: 1 }))
      tables.routes.bury(place, letters, 9)
    }

    test('one that was new', () => {
      rollBack(() => append('a'))
      expect(ids()).toEqual([])
      commit(() => append('b'))
      expect(ids()).toEqual(['b'])
    })

    test('entries and drops, also where the bound counts them', () => {
      commit(() => append('a'))
      rollBack(() => {
        for (const id of ['b', 'c', 'd']) append(id)
      })
      expect(backlog()).toMatchObject({ messages: 1, bytes: 2, dropped: 0 })
      commit(() => append('b'))
      expect(ids()).toEqual(['a', 'b'])
    })

    test('what was settled, buried, replayed and purged', () => {
      for (const id of ['a', 'b']) commit(() => append(id))
      rollBack(() => tables.routes.settle(place, [1, 2]))
      rollBack(() => bury())
      expect(ids()).toEqual(['a', 'b'])
      commit(() => bury())
      rollBack(() => tables.routes.replay('r', [1, 2], into[0]!))
      rollBack(() => tables.routes.purge('r', [1, 2]))
      expect(backlog()).toMatchObject({ messages: 0, deadLetters: 2 })
      commit(() => tables.routes.replay('r', [1, 2], into[0]!))
      expect(ids()).toEqual(['a', 'b'])
    })

    test('its removal, and the sweep after it', () => {
      for (const id of ['a', 'b']) commit(() => append(id))
      rollBack(() => tables.routes.removeRoute('r'))
      expect(tables.toSweep).toBe(0)
      expect(ids()).toEqual(['a', 'b'])
      commit(() => tables.routes.removeRoute('r'))
      rollBack(() => {
        while (tables.toSweep > 0) tables.sweep()
      })
      expect(tables.toSweep).toBe(1)
      while (tables.toSweep > 0) commit(() => tables.sweep())
      for (const table of ['route_entry', 'body']) {
        expect(db.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.['n']).toBe(0)
      }
    })
  })
})
