/** `database` with engine PostgreSQL: one query a message, many messages in one transaction. */
import pg from 'pg'
import type { RouteEntry } from '../../../contract/route-stream.ts'
import { type Egress, GuardedSocket } from '../../net/egress.ts'
import { connectionFailure } from '../connection-failure.ts'
import {
  DELIVERED,
  permanent,
  type Sink,
  type SinkFailure,
  type SinkResult,
  transient,
  unavailable,
} from '../sink.ts'
import { databaseFailure } from '../sql/database-failure.ts'
import type { DatabaseTarget } from '../sql/database-target.ts'
import { parseQuery } from '../sql/query-variables.ts'
import { parameterValues } from './parameter-values.ts'
import { executeStatement, prepareStatement } from './pipelined-statement.ts'

const DEFAULT_PORT = 5432
const STATEMENT = 'hublet'
const CONNECT_TIMEOUT_MS = 10_000
const IDLE_TIMEOUT_MS = 60_000
const NO_TIME_LEFT = transient({ code: 'TIMEOUT', message: 'no connection to the database in time' })
const BATCH = { maxMessages: 500, maxBytes: 4 * 1024 * 1024, lingerMs: 0 }

/** A failure instead when the query cannot be read. */
export function createPostgresqlSink(target: DatabaseTarget, egress: Egress): Sink | SinkFailure {
  const parsed = parseQuery(target.query, 'PostgreSQL')
  if ('fault' in parsed) return unavailable({ code: 'QUERY_INVALID', message: parsed.fault })
  const { text, variables } = parsed
  const sockets = new Set<GuardedSocket>()
  const pool = createPool(target, () => {
    const socket = new GuardedSocket(egress)
    sockets.add(socket)
    return socket.once('close', () => sockets.delete(socket))
  })
  const prepared = new WeakMap<pg.ClientBase, number[]>()

  const typesFor = async (client: pg.ClientBase): Promise<number[]> => {
    let types = prepared.get(client)
    if (types === undefined) {
      types = await prepareStatement(client, { name: STATEMENT, text })
      prepared.set(client, types)
    }
    return types
  }

  const run = async (client: pg.PoolClient, entries: readonly RouteEntry[]): Promise<SinkResult> => {
    const rows = []
    try {
      const types = await typesFor(client)
      for (const entry of entries) {
        const values = parameterValues(entry, variables, types)
        if ('fault' in values) return permanent({ code: 'PAYLOAD_NOT_TEXT', message: values.fault })
        rows.push(values)
      }
    } catch (error) {
      return failureOf(error, 'Prepare')
    }
    try {
      await executeStatement(client, STATEMENT, rows)
      return DELIVERED
    } catch (error) {
      return failureOf(error, 'Execute')
    }
  }

  const deliverMany = async (entries: readonly RouteEntry[], signal: AbortSignal): Promise<SinkResult> => {
    const client = await takeClient(pool, signal)
    if ('ok' in client) return client
    // Without an answer nobody knows whether the rows were stored; the connection is of no use any more.
    const abandon = () => {
      client.release(new Error('no answer in time'))
      // The pool would wait for the rest of the answer, which may have no end.
      connectionOf(client).stream.destroy()
    }
    const onError = () => {}
    client.on('error', onError)
    signal.addEventListener('abort', abandon, { once: true })
    const result = await run(client, entries)
    signal.removeEventListener('abort', abandon)
    client.off('error', onError)
    // A message that was refused says nothing against the connection.
    if (!signal.aborted) client.release(!result.ok && result.kind !== 'Permanent')
    return result
  }

  return {
    parallel: target.poolSize,
    batch: BATCH,
    deliver: (entry, signal) => deliverMany([entry], signal),
    deliverMany,
    close: async () => {
      const ended = pool.end()
      for (const socket of sockets) socket.destroy()
      await ended
    },
  }
}

async function takeClient(pool: pg.Pool, signal: AbortSignal): Promise<pg.PoolClient | SinkFailure> {
  const taken = pool.connect()
  const late = new Promise<undefined>((resolve) => {
    signal.addEventListener('abort', () => resolve(undefined), { once: true })
  })
  try {
    const client = await Promise.race([taken, late])
    if (client !== undefined && !signal.aborted) return client
  } catch (error) {
    return failureOf(error, 'Connect')
  }
  // It may still come: others can use it then.
  taken.then((client) => client.release()).catch(() => {})
  return NO_TIME_LEFT
}

function createPool(target: DatabaseTarget, stream: () => GuardedSocket): pg.Pool {
  const { host, port = DEFAULT_PORT, database, username, password, tls, poolSize } = target
  const pool = new pg.Pool({
    host,
    port,
    database,
    user: username,
    password,
    ssl: tls ?? false,
    max: poolSize,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    idleTimeoutMillis: IDLE_TIMEOUT_MS,
    keepAlive: true,
    application_name: 'hublet',
    allowExitOnIdle: true,
    // What pg would read from the environment or a .pgpass of whoever runs this must not get in.
    options: '',
    stream,
  })
  // An idle connection that the server closes is replaced when it is needed.
  pool.on('error', () => {})
  pool.on('connect', noteAnswers)
  return pool
}

/** The types leave it out. */
const connectionOf = (client: pg.PoolClient): pg.Connection =>
  (client as pg.PoolClient & { connection: pg.Connection }).connection

/** Every message that the server sends counts, rows that nobody looks at too. */
function noteAnswers(client: pg.PoolClient): void {
  const connection = connectionOf(client)
  const socket: unknown = connection.stream
  if (socket instanceof GuardedSocket) connection.on('message', () => socket.answered())
}

type PostgresError = Partial<Record<'code' | 'message' | 'constraint' | 'column' | 'table' | 'where', string>>

function failureOf(error: unknown, step: 'Connect' | 'Prepare' | 'Execute'): SinkFailure {
  const { code, message = '', constraint, column, table, where } = error as PostgresError
  if (code !== undefined && /^[0-9A-Z]{5}$/.test(code) && error instanceof pg.DatabaseError)
    return databaseFailure({
      step,
      sqlState: code,
      text: message,
      names: [constraint, column, table],
      isNested: where !== undefined,
    })
  const broken = connectionFailure(error)
  if (broken !== undefined) return broken
  // pg has no code for these: "The server does not support SSL connections", "Connection terminated unexpectedly".
  if (message.includes('does not support SSL')) return unavailable({ code: 'TLS_FAILED', message })
  const failed = step === 'Connect' ? 'DATABASE_CONNECT_FAILED' : 'CONNECTION_FAILED'
  return unavailable({ code: failed, message })
}
