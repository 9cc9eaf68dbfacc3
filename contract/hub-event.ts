/**
 * Events a hub tells about itself, on `<prefix>/<severity>/<object-type>/<object-id>` (spec §5).
 * The JSON keeps the original keys (`object-type` and so on) and adds `code`, which is stable: consumers
 * match on it and never on `msg`.
 */
export type EventSeverity = 'error' | 'warn' | 'info' | 'debug'
export type EventObjectType = 'hub' | 'device' | 'network' | 'route'

interface EventKind {
  severity: EventSeverity
  /** What a reader sees; `%s` is replaced by the event's detail. */
  msg: string
}

/** code → severity and text. Texts are the original service's where it had one. */
export const EVENT_CODES = {
  // packet and network
  PACKET_MALFORMED: { severity: 'error', msg: 'failed to unpack message body: %s' },
  PACKET_TOO_LARGE: { severity: 'error', msg: 'MQTT packet too large: %s' },
  CONNECT_TIMEOUT: { severity: 'error', msg: 'cannot read MQTT header: %s' },
  TLS_HANDSHAKE_FAILED: { severity: 'error', msg: 'TLS handshake failed: %s' },
  PROXY_HEADER_REFUSED: { severity: 'error', msg: 'PROXY protocol header refused: %s' },
  SLOW_CONSUMER: { severity: 'warn', msg: 'cannot write MQTT packet: %s' },
  KEEPALIVE_TIMEOUT: { severity: 'info', msg: 'keep alive timeout' },
  // protocol
  UNKNOWN_MESSAGE_TYPE: { severity: 'error', msg: 'unknown MQTT message type: %s' },
  INVALID_QOS: { severity: 'error', msg: 'invalid MQTT QoS value: %s' },
  EMPTY_TOPIC: { severity: 'error', msg: 'empty topics are not authorized' },
  INVALID_TOPIC: { severity: 'error', msg: 'invalid topic: %s' },
  PROTOCOL_ERROR: { severity: 'error', msg: 'MQTT protocol error: %s' },
  UNSUPPORTED_PROTOCOL: { severity: 'error', msg: 'unsupported MQTT protocol level: %s' },
  // security
  INVALID_DEVICE_CERTIFICATE: { severity: 'error', msg: 'invalid device certificate' },
  MTLS_REQUIRED: { severity: 'error', msg: 'mutual TLS authentication is required' },
  UNAUTHORIZED_TOPIC: { severity: 'error', msg: 'unauthorized topic %s' },
  UNKNOWN_DEVICE: { severity: 'error', msg: 'could not identify device' },
  EMPTY_COMMON_NAME: { severity: 'error', msg: 'certificate common name cannot be empty' },
  SERVICE_TOKEN_REFUSED: { severity: 'error', msg: 'token of a ServiceAccount refused: %s' },
  BAD_PASSWORD: { severity: 'error', msg: 'bad device password' },
  // hub state
  HUB_DISABLED: { severity: 'error', msg: 'hub is not ready' },
  HUB_DELETED: { severity: 'error', msg: 'hub is deleted' },
  HUB_BUSY: { severity: 'warn', msg: 'hub is over its connection limit: %s' },
  // device state
  DEVICE_DELETED: { severity: 'error', msg: 'device is deleted' },
  DEVICE_DISABLED: { severity: 'error', msg: 'device is not enabled' },
  DEVICE_REVOKED: { severity: 'error', msg: 'device is revoked' },
  DEVICE_SECURITY_CHANGED: {
    severity: 'error',
    msg: 'device security has changed, requires authentication',
  },
  AUTO_PROVISIONING_FAILED: { severity: 'warn', msg: 'device could not be auto-provisioned: %s' },
  DEVICE_AUTO_PROVISIONED: { severity: 'info', msg: 'device was auto-provisioned' },
  DEVICE_ENROLLED: { severity: 'info', msg: 'device got a certificate that it asked for' },
  ENROLMENT_REFUSED: { severity: 'warn', msg: 'no certificate was issued: %s' },
  CONNECTION_REPLACED: { severity: 'info', msg: 'connection replaced by a newer one of the same device' },
  FILTER_TEMPLATE: { severity: 'warn', msg: 'message filter template cannot be expanded: %s' },
  // service level
  CLEAN_SESSION_REQUIRED: { severity: 'error', msg: 'service level: clean session is required' },
  RETAINED_FORBIDDEN: { severity: 'error', msg: 'service level: publishing retained messages is forbidden' },
  PUBLISH_QOS_FORBIDDEN: { severity: 'error', msg: 'service level: publishing at QoS %s is forbidden' },
  SUBSCRIBE_QOS_FORBIDDEN: { severity: 'error', msg: 'service level: subscribing at QoS %s is forbidden' },
  PAYLOAD_TOO_LARGE: { severity: 'error', msg: 'service level: payload too large: %s' },
  RATE_LIMITED: { severity: 'warn', msg: 'service level: message rate limited: %s' },
  QUEUE_OVERFLOW: { severity: 'warn', msg: 'service level: queue is full, messages were dropped: %s' },
  RETAINED_FULL: { severity: 'warn', msg: 'service level: retained store is full: %s' },
  SUBSCRIPTIONS_FULL: { severity: 'warn', msg: 'service level: too many subscriptions: %s' },
  // token networks
  BAD_NETWORK_TOKEN: { severity: 'error', msg: 'network secret refused' },
  BAD_NETWORK_REQUEST: { severity: 'error', msg: 'network request refused: %s' },
  // routes
  ROUTE_DELIVERY_FAILED: { severity: 'error', msg: 'delivery failed, it will be tried again: %s' },
  ROUTE_DEAD_LETTER: { severity: 'error', msg: 'delivery was given up: %s' },
  ROUTE_RECOVERED: { severity: 'info', msg: 'messages of the route are delivered again' },
  ROUTE_OVERFLOW: { severity: 'warn', msg: 'buffer of the route is full, %s messages were dropped' },
  ROUTE_REPLY_REFUSED: { severity: 'warn', msg: 'answer of the destination was not published: %s' },
  ROUTE_LOOP: { severity: 'warn', msg: 'reply of the route was not published, it is a loop: %s' },
  // about events themselves
  EVENTS_SUPPRESSED: { severity: 'warn', msg: '%s events were not published because of the rate limit' },
} as const satisfies Record<string, EventKind>

export type EventCode = keyof typeof EVENT_CODES

/** One event before it gets its time. `detail` never holds a payload or a secret. */
export interface HubEvent {
  code: EventCode
  objectType: EventObjectType
  /** UUID of the object, or `unknown` when nothing was identified. */
  objectId: string
  detail?: string
  /** Digest of the packet that caused it, e.g. `CONNECT: dup: false qos: 0 retain: false rLength: 12`. */
  packet?: string
  /** Further original keys: `object-name`, `source-address`. */
  extra?: Readonly<Record<string, string>>
}

/** The text of an event, with its detail in place. */
export function eventMessage(event: Pick<HubEvent, 'code' | 'detail'>): string {
  return EVENT_CODES[event.code].msg.replace('%s', () => event.detail ?? '')
}

/** Topic and JSON body of an event; `now` in ms. Time has whole seconds, as the original had. */
export function encodeEvent(
  event: HubEvent,
  prefix: string,
  now: number,
): { topic: string; payload: Buffer } {
  const { severity } = EVENT_CODES[event.code]
  const body = {
    time: new Date(now).toISOString().replace(/\.\d{3}Z$/, 'Z'),
    severity,
    'object-type': event.objectType,
    'object-id': event.objectId,
    msg: eventMessage(event),
    code: event.code,
    ...(event.packet === undefined ? {} : { packet: event.packet }),
    ...event.extra,
  }
  return {
    topic: `${prefix}/${severity}/${event.objectType}/${event.objectId}`,
    payload: Buffer.from(JSON.stringify(body)),
  }
}
