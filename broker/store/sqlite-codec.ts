import type { SQLInputValue } from 'node:sqlite'
import type { ApplicationMessage, MessageProperties, SessionRecord, SubscriptionRecord } from './store.ts'

/** A message as it comes back from `body`. */
export interface BodyRow {
  topic: string
  payload: Uint8Array
  qos: number
  retain: number
  properties: string | null
  expires_at: number | null
}

export interface SessionRow {
  id: number
  key: string
  device_id: string
  client_id: string
  subscriptions: string
  expires_at: number | null
  next_seq: number
}

/** JSON has no bytes. */
type StoredProperties = Omit<MessageProperties, 'correlationData'> & { correlationData?: string }

/** Columns in the order topic, payload, qos, retain, properties, expires_at. */
export function encodeMessage(message: ApplicationMessage): SQLInputValue[] {
  const { topic, payload, qos, retain, properties, expiresAt } = message
  return [
    topic,
    payload,
    qos,
    retain ? 1 : 0,
    properties === undefined ? null : encodeProperties(properties),
    expiresAt ?? null,
  ]
}

export function decodeMessage(row: BodyRow): ApplicationMessage {
  const { payload } = row
  const message: ApplicationMessage = {
    topic: row.topic,
    payload: Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength),
    qos: row.qos as 0 | 1 | 2,
    retain: row.retain === 1,
  }
  if (row.properties !== null) message.properties = decodeProperties(row.properties)
  if (row.expires_at !== null) message.expiresAt = row.expires_at
  return message
}

export function decodeSession(row: SessionRow): SessionRecord {
  const session: SessionRecord = {
    key: row.key,
    deviceId: row.device_id,
    clientId: row.client_id,
    subscriptions: JSON.parse(row.subscriptions) as SubscriptionRecord[],
  }
  if (row.expires_at !== null) session.expiresAt = row.expires_at
  return session
}

function encodeProperties(properties: MessageProperties): string {
  const { correlationData, ...rest } = properties
  const stored: StoredProperties = rest
  if (correlationData !== undefined) stored.correlationData = correlationData.toString('base64')
  return JSON.stringify(stored)
}

function decodeProperties(text: string): MessageProperties {
  const { correlationData, ...rest } = JSON.parse(text) as StoredProperties
  if (correlationData === undefined) return rest
  return { ...rest, correlationData: Buffer.from(correlationData, 'base64') }
}
