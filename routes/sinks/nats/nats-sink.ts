/** `nats`: one message of a JetStream stream for each, acknowledged by the stream (docs/spec/route.md). */
import { isIP } from 'node:net'
import { jetstream } from '@nats-io/jetstream'
import {
  type Authenticator,
  type ConnectionOptions,
  connect,
  credsAuthenticator,
  headers,
  type MsgHdrs,
  type NatsConnection,
  nkeyAuthenticator,
  type TlsOptions,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from '@nats-io/transport-node'
import type { RouteEntry } from '../../../contract/route-stream.ts'
import type { RouteSpec } from '../../../crds/route.ts'
import { type Egress, resolveAllowed } from '../../net/egress.ts'
import { originHeaders } from '../origin-headers.ts'
import { serverAddress } from '../server-address.ts'
import { beforeAbort, shareConnection } from '../shared-connection.ts'
import { DELIVERED, permanent, type Sink, transient } from '../sink.ts'
import { type SinkTls, sinkTls } from '../sink-tls.ts'
import { natsFailure } from './nats-failure.ts'
import { subjectOf } from './subject.ts'

type Spec = Pick<NonNullable<RouteSpec['nats']>, 'servers' | 'subject'>

/** `spec.nats` with its secret values. */
export interface NatsTarget extends Spec {
  /** Undefined: any. */
  stream: string | undefined
  credentials: NatsCredentials
  tls: SinkTls
}

/** The first that is there is used. */
export type NatsCredentials = Partial<Record<'creds' | 'seed' | 'token' | 'username' | 'password', string>>

const DEFAULT_PORT = 4222
const CONNECT_TIMEOUT_MS = 10_000
/** A connection of which two in a row get no answer is closed. */
const PING_INTERVAL_MS = 20_000
/** Longer than any delivery: its signal is the one time limit. */
const ANSWER_TIMEOUT_MS = 15 * 60_000

export function createNatsSink(target: NatsTarget, egress: Egress): Sink {
  const connection = shareConnection({
    open: async (closing) => await connectToAny(target, egress, closing),
    end: async (nats: NatsConnection) => await nats.close(),
  })

  const publish = async (nats: NatsConnection, entry: RouteEntry): Promise<void> => {
    await jetstream(nats).publish(subjectOf(target.subject, entry.topic), entry.payload, {
      msgID: entry.id,
      headers: messageHeaders(entry),
      timeout: ANSWER_TIMEOUT_MS,
      ...(target.stream === undefined ? {} : { expect: { streamName: target.stream } }),
    })
  }

  return {
    async deliver(entry, signal) {
      let nats: NatsConnection | undefined
      try {
        nats = await connection.get(signal)
        const most = nats.info?.max_payload ?? Number.POSITIVE_INFINITY
        if (entry.payload.length > most)
          return permanent({ code: 'MESSAGE_TOO_LARGE', message: `the server takes at most ${most} bytes` })
        await beforeAbort(publish(nats, entry), signal)
        return DELIVERED
      } catch (error) {
        const failure = signal.aborted
          ? transient({ code: 'TIMEOUT', message: 'no answer of the NATS server in time' })
          : natsFailure(error, target.stream)
        // Not after a time-out alone: others may be waiting for answers on the same connection.
        if (nats?.isClosed() === true) connection.drop(nats)
        return failure
      }
    },
    close: () => connection.close(),
  }
}

async function connectToAny(
  { servers, credentials, tls }: NatsTarget,
  egress: Egress,
  closing: AbortSignal,
): Promise<NatsConnection> {
  let last: unknown
  for (const server of servers) {
    const { host, port } = serverAddress(server, DEFAULT_PORT)
    try {
      for (const address of await resolveAllowed(egress, host)) {
        closing.throwIfAborted()
        const options = connectOptions({ credentials, tls }, host)
        const attempt = connect({ ...options, servers: [hostAndPort(address, port)] })
        const result = await attempt.catch((error: unknown) => ({ error }))
        if (!('error' in result)) return result
        last = result.error
      }
    } catch (error) {
      last = error
    }
  }
  throw last
}

function connectOptions(
  { credentials, tls }: Pick<NatsTarget, 'credentials' | 'tls'>,
  host: string,
): ConnectionOptions {
  const secure = sinkTls(tls)
  // The client only knows the address. Node wants no address as the name to ask for, and checks `host` then.
  const name = isIP(host) === 0 ? { servername: host } : { host }
  return {
    tls: secure === undefined ? null : ({ ...secure, ...name } as TlsOptions),
    ...authentication(credentials),
    name: 'hublet',
    timeout: CONNECT_TIMEOUT_MS,
    pingInterval: PING_INTERVAL_MS,
    // A new connection resolves the name again and asks whether routes may go there; one that the client makes by
    // itself, to an address that a server told it, would do neither.
    reconnect: false,
    ignoreClusterUpdates: true,
  }
}

function authentication({ creds, seed, token, username, password }: NatsCredentials): {
  authenticator?: Authenticator
} {
  if (creds !== undefined) return { authenticator: credsAuthenticator(Buffer.from(creds)) }
  if (seed !== undefined) return { authenticator: nkeyAuthenticator(Buffer.from(seed.trim())) }
  if (token !== undefined) return { authenticator: tokenAuthenticator(token) }
  return username === undefined ? {} : { authenticator: usernamePasswordAuthenticator(username, password) }
}

const hostAndPort = (address: string, port: number) =>
  isIP(address) === 6 ? `[${address}]:${port}` : `${address}:${port}`

function messageHeaders(entry: RouteEntry): MsgHdrs {
  const all = headers()
  for (const [name, value] of Object.entries(originHeaders(entry))) all.set(name, value)
  return all
}
