/** `database` with engine MySQL, which MariaDB answers to as well: one query a message, many in one transaction. */
import { isUtf8 } from 'node:buffer'
import type { Socket } from 'node:net'
import type { Query } from 'mysql2'
import { createPool, type Pool, type PoolConnection, type PreparedStatementInfo } from 'mysql2/promise'
import type { RouteEntry } from '../../../contract/route-stream.ts'
import { type Egress, GuardedSocket } from '../../net/egress.ts'
import { connectionFailure } from '../connection-failure.ts'
import { DELIVERED, type Sink, type SinkFailure, type SinkResult, transient, unavailable } from '../sink.ts'
import { type DatabaseFault, databaseFailure } from '../sql/database-failure.ts'
import type { DatabaseTarget } from '../sql/database-target.ts'
import { parseQuery, type Variable } from '../sql/query-variables.ts'

const DEFAULT_PORT = 3306
const CONNECT_TIMEOUT_MS = 10_000
const IDLE_TIMEOUT_MS = 60_000
const BATCH = { maxMessages: 500, maxBytes: 4 * 1024 * 1024, lingerMs: 0 }
const NO_TIME_LEFT = transient({ code: 'TIMEOUT', message: 'no answer of the database in time' })

/** A failure instead when the query cannot be read. */
export function createMysqlSink(target: DatabaseTarget, egress: Egress): Sink | SinkFailure {
  const parsed = parseQuery(target.query, 'MySQL')
  if ('fault' in parsed) return unavailable({ code: 'QUERY_INVALID', message: parsed.fault })
  const { text, variables } = parsed
  const sockets = new Set<GuardedSocket>()
  const pool = openPool(target, () => {
    const socket = new GuardedSocket(egress)
    sockets.add(socket)
    socket.once('close', () => {
      sockets.delete(socket)
      // After a failed handshake TLS has closed the handle; the driver then ends the socket, and nobody hears the error.
      socket.end = () => socket
    })
    return socket
  })

  const run = async (connection: PoolConnection, entries: readonly RouteEntry[]): Promise<SinkResult> => {
    let step: DatabaseFault['step'] = 'Prepare'
    try {
      // The driver keeps it for the connection: prepared once, found again after.
      const statement = await connection.prepare(text)
      step = 'Execute'
      if (entries.length > 1) await connection.beginTransaction()
      for (const entry of entries)
        await execute(
          connection,
          statement,
          variables.map((name) => valueFor(entry, name)),
        )
      if (entries.length > 1) await connection.commit()
      return DELIVERED
    } catch (error) {
      const failure = failureOf(error, step)
      if (entries.length > 1 && failure.scope === 'Message')
        await connection.rollback().catch(() => connection.destroy())
      return failure
    }
  }

  const deliverMany = async (entries: readonly RouteEntry[], signal: AbortSignal): Promise<SinkResult> => {
    const late = new Promise<undefined>((resolve) => {
      signal.addEventListener('abort', () => resolve(undefined), { once: true })
    })
    const connection = await takeConnection(pool, late)
    if ('ok' in connection) return connection
    const result = await Promise.race([run(connection, entries), late])
    // Without an answer nobody knows whether the rows were stored; the connection is of no use any more.
    if (result === undefined) abandon(connection)
    else if (result.ok || result.scope === 'Message') connection.release()
    else connection.destroy()
    return result ?? NO_TIME_LEFT
  }

  return {
    parallel: target.poolSize,
    batch: BATCH,
    deliver: (entry, signal) => deliverMany([entry], signal),
    deliverMany,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await pool.end().catch(() => {})
    },
  }
}

/** The driver itself would only say goodbye, and go on reading an answer that may have no end. */
function abandon(connection: PoolConnection): void {
  connection.destroy()
  streamOf(connection).destroy()
}

/** The types leave it out. */
const streamOf = ({ connection }: PoolConnection): Socket =>
  (connection as unknown as { stream: Socket }).stream

/** Rows of an answer are nobody's business, and there may be no end of them: without a callback none is kept. */
async function execute(
  pooled: PoolConnection,
  prepared: PreparedStatementInfo,
  values: readonly Value[],
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  // The types leave out what the promises are built on.
  const { statement } = prepared as unknown as { statement: { execute: (values: readonly Value[]) => Query } }
  const { connection } = pooled
  const stream = streamOf(pooled)
  const command = statement.execute(values).once('error', reject).once('end', resolve)
  if (stream instanceof GuardedSocket) command.on('result', () => stream.answered())
  // A connection that breaks tells so itself.
  connection.once('error', reject)
  try {
    await promise
  } finally {
    connection.off('error', reject)
  }
}

async function takeConnection(pool: Pool, late: Promise<undefined>): Promise<PoolConnection | SinkFailure> {
  const taken = pool.getConnection()
  try {
    const connection = await Promise.race([taken, late])
    if (connection !== undefined) return connection
  } catch (error) {
    return failureOf(error, 'Connect')
  }
  // It may still come: others can use it then.
  taken.then((connection) => connection.release()).catch(() => {})
  return NO_TIME_LEFT
}

function openPool(target: DatabaseTarget, open: () => GuardedSocket): Pool {
  const { host, port = DEFAULT_PORT, database, username, password, tls, poolSize } = target
  const { ca, rejectUnauthorized = true } = tls ?? {}
  const pool = createPool({
    host,
    port,
    database,
    user: username,
    password,
    connectionLimit: poolSize,
    maxIdle: poolSize,
    idleTimeout: IDLE_TIMEOUT_MS,
    connectTimeout: CONNECT_TIMEOUT_MS,
    charset: 'utf8mb4',
    // Times are sent as UTC, so NOW() and TIMESTAMP columns mean UTC too.
    timezone: 'Z',
    stream: () => open().setNoDelay(true).connectTo(port, host),
    ...(tls === undefined
      ? {}
      : {
          ssl: {
            ...(ca === undefined ? {} : { ca: ca as string }),
            minVersion: 'TLSv1.2',
            rejectUnauthorized,
            verifyIdentity: rejectUnauthorized,
          },
        }),
  })
  pool.on('connection', (connection) => {
    // An idle connection that the server closes is replaced when it is needed.
    connection.on('error', () => {})
    connection.query("SET time_zone = '+00:00'")
  })
  return pool
}

type Value = string | number | Buffer | null

/** MySQL gives parameters no type: text where the bytes are text, so that JSON functions take it, else bytes. */
function valueFor({ topic, payload, time, deviceId, qos, retain, id }: RouteEntry, name: Variable): Value {
  switch (name) {
    case 'TOPIC':
      return topic
    case 'PAYLOAD':
      return isUtf8(payload) ? payload.toString() : payload
    case 'TIME':
      return new Date(time).toISOString().slice(0, -1).replace('T', ' ')
    case 'DEVICE':
      return deviceId ?? null
    case 'QOS':
      return qos
    case 'RETAIN':
      return retain ? 1 : 0
    case 'ID':
      return id
  }
}

function failureOf(error: unknown, step: DatabaseFault['step']): SinkFailure {
  const {
    sqlState,
    errno,
    sqlMessage,
    message = '',
  } = error as Partial<Record<'sqlState' | 'sqlMessage' | 'message', string>> & {
    errno?: number
  }
  if (sqlState !== undefined && sqlState !== '' && errno !== undefined)
    return databaseFailure({ step, sqlState, number: errno, text: sqlMessage ?? message })
  const broken = connectionFailure(error)
  if (broken !== undefined) return broken
  const code = (error as NodeJS.ErrnoException).code ?? ''
  if (code === 'HANDSHAKE_NO_SSL_SUPPORT') return unavailable({ code: 'TLS_FAILED', message })
  return unavailable({ code: step === 'Connect' ? 'DATABASE_CONNECT_FAILED' : 'CONNECTION_FAILED', message })
}
