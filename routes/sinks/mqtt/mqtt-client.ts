/** Connections of a bridge to the other broker: to addresses that routes may connect to, and to no other. */
import { isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { type IClientOptions, MqttClient } from 'mqtt'
import type { RouteSpec } from '../../../crds/route.ts'
import { type Egress, GuardedSocket } from '../../net/egress.ts'
import type { PublishReply } from '../rest/reply.ts'
import { serverAddress } from '../server-address.ts'
import type { SinkFailure } from '../sink.ts'
import { type SinkTls, sinkTls } from '../sink-tls.ts'

type Spec = NonNullable<RouteSpec['mqtt']>

/** `spec.mqtt` with its secret values. */
export interface MqttTarget
  extends Pick<Spec, 'server' | 'version' | 'topic' | 'qos' | 'retain' | 'subscribe'> {
  clientId: string
  credentials: { username: string; password: string } | undefined
  tls: SinkTls
}

export interface MqttTools {
  routeId: string
  egress: Egress
  publishReply: PublishReply
  /** Whether this worker is the one that subscribes for the route. */
  subscribes: boolean
  /** What keeps messages of the other broker from coming in; undefined: nothing does any more. */
  onInbound: (failure: SinkFailure | undefined) => void
}

const CONNECT_TIMEOUT_MS = 10_000
/** A broker that answers nothing for one and a half of it is left. */
const KEEP_ALIVE_S = 30

/** Connects at once. `own` says which session it is and whether it comes back by itself. */
export function openMqttClient(
  { server, version, credentials, tls }: MqttTarget,
  egress: Egress,
  own: Pick<
    IClientOptions,
    'clientId' | 'clean' | 'properties' | 'reconnectPeriod' | 'reconnectOnConnackError'
  >,
): MqttClient {
  const secure = sinkTls(tls)
  const { host, port } = serverAddress(server, secure === undefined ? 1883 : 8883)
  let plain: GuardedSocket | undefined
  // Each connection resolves the name again and asks whether routes may go there.
  const open = (): Socket => {
    const name = isIP(host) === 0 ? { servername: host } : {}
    if (secure === undefined || isForbidden(egress, host)) {
      plain = new GuardedSocket(egress).connectTo(port, host)
      return plain
    }
    return connectTls({ ...secure, ...name, host, port, lookup: egress.lookup })
  }
  const { properties, ...session } = own
  const client = new MqttClient(open, {
    ...session,
    ...credentials,
    protocolId: 'MQTT',
    protocolVersion: version === 'MQTT5' ? 5 : 4,
    ...(version === 'MQTT5' && properties !== undefined ? { properties } : {}),
    connectTimeout: CONNECT_TIMEOUT_MS,
    keepalive: KEEP_ALIVE_S,
    // What it must do after a connection is made is decided here, not by a list that the client keeps.
    resubscribe: false,
    queueQoSZero: false,
  })
  client.on('packetreceive', () => plain?.answered())
  return client
}

/** A literal address: a guarded socket then fails with the reason, as for a name. */
function isForbidden(egress: Egress, host: string): boolean {
  try {
    egress.checkHost(host)
    return false
  } catch {
    return true
  }
}
