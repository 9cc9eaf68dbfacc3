import { Block, Flag, Whole } from './fields.ts'

/** Listener name → port. The names are those of `ListenerName` in the broker (design §8.17). */
export const LISTENER_PORTS = {
  mqtt: 1883,
  mqtts: 8883,
  ws: 8083,
  wss: 8084,
  http: 8080,
  https: 8443,
} as const

const listener = (enabled: boolean, port: number, description: string) =>
  Block(
    {
      enabled: Flag({ default: enabled, description: 'Whether the listener is open.' }),
      port: Whole({
        default: port,
        minimum: 1,
        maximum: 65535,
        description: "Port that clients use: the Service's in a cluster, the process's in hublet dev.",
      }),
    },
    { default: {}, description },
  )

/** What a hub listens on. */
export const hubListeners = Block(
  {
    mqtt: listener(
      true,
      LISTENER_PORTS.mqtt,
      'MQTT over TCP, not encrypted; devices with allowInsecure only.',
    ),
    mqtts: listener(
      true,
      LISTENER_PORTS.mqtts,
      'MQTT over TLS. Asks for a client certificate; without one, devices with allowInsecure only.',
    ),
    ws: listener(
      true,
      LISTENER_PORTS.ws,
      'MQTT over WebSocket at /mqtt, not encrypted; devices with allowInsecure only.',
    ),
    wss: listener(
      true,
      LISTENER_PORTS.wss,
      'MQTT over WebSocket over TLS at /mqtt. Asks for a client certificate, as mqtts does.',
    ),
    http: listener(
      false,
      LISTENER_PORTS.http,
      'HTTP for token networks at /networks/<name>, not encrypted: tokens can be overheard.',
    ),
    https: listener(true, LISTENER_PORTS.https, 'HTTPS for token networks at /networks/<name>.'),
  },
  {
    default: {},
    description: 'What the hub listens on.',
  },
)
