import { ProtocolViolation } from './publish-frame.ts'

/** What the codec lets pass in SUBSCRIBE and UNSUBSCRIBE and the protocol does not [MQTT-3.8.3-3], [MQTT-2.3.1-1]. */
export function requireContent(packetId: number | undefined, filters: number): void {
  if (packetId === undefined || packetId === 0)
    throw new ProtocolViolation('PROTOCOL_ERROR', 'packet identifier 0')
  if (filters === 0) throw new ProtocolViolation('PROTOCOL_ERROR', 'no topic filter')
}
