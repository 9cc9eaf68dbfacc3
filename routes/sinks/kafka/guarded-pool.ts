/** Keeps a Kafka client to addresses that routes may connect to: also those that a broker told it. */
import type { Broker, Connection, ConnectionPool } from '@platformatic/kafka'
import { AnswerTooLong, type Egress, MAX_ANSWER_BYTES, resolveAllowed } from '../../net/egress.ts'

type Callback = (error: Error | null, connection?: Connection) => void

/**
 * `isSecure`: TLS has to know the name, so the name stays and the lookup of the TLS options is guarded. Otherwise
 * the client takes no lookup, and is given the address that was checked.
 */
export function guardPool(pool: ConnectionPool, egress: Egress, isSecure: boolean): void {
  const get = pool.get.bind(pool) as (broker: Broker, callback: Callback) => void
  const connect = async (broker: Broker): Promise<Connection> =>
    await new Promise((resolve, reject) => {
      get(broker, (error, connection) => (connection === undefined ? reject(error) : resolve(connection)))
    })

  const connectToAny = async (broker: Broker): Promise<Connection> => {
    const addresses = await resolveAllowed(egress, broker.host)
    if (isSecure) return await connect(broker)
    let last: unknown
    for (const host of addresses) {
      try {
        return await connect({ ...broker, host })
      } catch (error) {
        last = error
      }
    }
    throw last
  }

  pool.on('connecting', guardConnection)
  // All connections of a client come from here.
  const guarded = (broker: Broker | undefined, callback: Callback): void => {
    // One that the cluster does not know any more: the client has its own answer to that.
    if (broker?.host === undefined) get(broker as never, callback)
    else
      connectToAny(broker).then(
        (connection) => callback(null, connection),
        (error: Error) => callback(error),
      )
  }
  pool.get = guarded as ConnectionPool['get']
}

/** The client keeps an answer until it is complete, and believes whoever says that it is two gigabytes long. */
function guardConnection({ connection }: { connection: Connection }): void {
  // It tells whoever waits as well; without a listener an error while it logs in ends the process.
  connection.on('error', () => {})
  connection.once('connecting', () => {
    // The socket is made right after.
    process.nextTick(() => {
      const isTooLong = frameLimit(MAX_ANSWER_BYTES)
      connection.socket.on('data', (chunk: Buffer) => {
        if (isTooLong(chunk)) connection.socket.destroy(new AnswerTooLong())
      })
    })
  })
}

/** Told what comes, says whether an answer (four bytes of length, then as many) is longer than `most`. */
export function frameLimit(most: number): (chunk: Buffer) => boolean {
  let length = 0
  let digits = 0
  let left = 0
  return (chunk) => {
    for (let at = 0; at < chunk.length; ) {
      if (left > 0) {
        const taken = Math.min(left, chunk.length - at)
        left -= taken
        at += taken
        continue
      }
      length = length * 256 + (chunk[at] ?? 0)
      digits += 1
      at += 1
      if (digits < 4) continue
      if (length > most) return true
      ;[left, length, digits] = [length, 0, 0]
    }
    return false
  }
}
