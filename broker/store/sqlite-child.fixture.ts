/**
 * The other process of the tests of the SQLite store: `node sqlite-child.fixture.ts <role> <file> [argument]`.
 * It writes to descriptor 1 without a buffer, so that what it said stays said when it is killed.
 */
import { writeSync } from 'node:fs'
import { createSqliteStore } from './sqlite-store.ts'
import type { AcceptResult, Store } from './store.ts'

const LIMITS = { queueMessages: 1e6, queueBytes: 1e9, queueOverflow: 'DropNewest' } as const
const KEYS = ['s/0', 's/1']

const BUFFER = { messages: 1e6, bytes: 1e9, overflow: 'DropNewest' } as const
const routesOf = (id: number) => ({
  into: [{ routeId: 'r', partitions: 1, buffer: BUFFER }],
  id: String(id),
  time: id,
})

const ROLES: Record<string, (store: Store, argument: string | undefined) => Promise<void>> = {
  hold: holdStore,
  fill: fillDisk,
  accept: acceptForever,
}

const [role = '', path = '', argument] = process.argv.slice(2)
const store = createSqliteStore(path)
await store.open(LIMITS)
for (const key of KEYS) await store.putSession({ key, deviceId: 'd', clientId: key, subscriptions: [] })
await ROLES[role]!(store, argument)

/** Keeps the file for `ms`, or until killed. */
async function holdStore(held: Store, ms = '60000'): Promise<void> {
  writeSync(1, 'held\n')
  await new Promise((resolve) => setTimeout(resolve, Number(ms)))
  await held.close()
}

/** Many messages in one turn, to be run where files may not grow; tells how many were stored. */
async function fillDisk(filling: Store): Promise<void> {
  // Ignored as a daemon does, so that the write fails instead of the process.
  process.on('SIGXFSZ', () => {})
  const results = await Promise.allSettled(Array.from({ length: 200 }, () => send(filling, 0, 20_000)))
  const refused = results.filter((result) => result.status === 'rejected')
  const stored = results.length - refused.length
  // Counters are right when a bound of what was stored leaves no room, and one more message room for none.
  filling.setLimits({ ...LIMITS, queueMessages: stored })
  const full = await send(filling, 0, 1)
  const counted = full.seqs[0] === null ? stored : -1
  writeSync(1, JSON.stringify({ stored, refused: refused.length, code: refused[0]?.reason.code, counted }))
  await filling.close()
}

/**
 * Accepts messages for both sessions until killed, several at a time, each under a packet id of its own, and
 * writes the number of each as soon as it is acknowledged.
 */
async function acceptForever(accepting: Store, first = '1'): Promise<void> {
  let next = Number(first)
  const loop = async () => {
    for (;;) {
      const id = next
      next += 1
      await send(accepting, id, 300)
      writeSync(1, `${id}\n`)
      // Leaves the turn, so that batches differ in size.
      if (id % 7 === 0) await new Promise(setImmediate)
    }
  }
  await Promise.all(Array.from({ length: 8 }, loop))
}

async function send(to: Store, id: number, size: number): Promise<AcceptResult> {
  const payload = Buffer.alloc(size)
  payload.write(String(id))
  return to.accept({
    message: { topic: 't', payload, qos: 2, retain: false },
    targets: (id === 0 ? KEYS.slice(0, 1) : KEYS).map((sessionKey) => ({
      sessionKey,
      qos: 1,
      retain: false,
    })),
    ...(id === 0 ? {} : { incoming: { sessionKey: 's/0', packetId: id }, routes: routesOf(id) }),
  })
}
