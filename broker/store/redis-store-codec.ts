import type { ScriptArgument } from '../../contract/redis-script.ts'
import { decodeDrops, encodeIntake } from './redis-route-codec.ts'
import type {
  AcceptRequest,
  AcceptResult,
  AcceptTarget,
  ApplicationMessage,
  MessageProperties,
  QueueEntry,
  SessionRecord,
  StoreLimits,
  WillRecord,
} from './store.ts'
import { messageBytes, RELEASED_MESSAGE } from './stored-message.ts'

/** JSON has no bytes. */
type StoredProperties = Omit<MessageProperties, 'correlationData'> & { correlationData?: string }

/** What stands before the payload. One letter each, as there is one of it a message. */
interface Header {
  t: string
  q: 0 | 1 | 2
  r: boolean
  p?: StoredProperties
  e?: number
  /** Device id, of a will. */
  d?: string
}

const LENGTH_BYTES = 4

/** Length of the header, header as JSON, payload. A buffer of its own, so it keeps no read buffer alive. */
export function encodeMessage(message: ApplicationMessage, deviceId?: string): Buffer {
  const { topic, payload, qos, retain, properties, expiresAt } = message
  const header: Header = { t: topic, q: qos, r: retain }
  if (properties !== undefined) header.p = encodeProperties(properties)
  if (expiresAt !== undefined) header.e = expiresAt
  if (deviceId !== undefined) header.d = deviceId
  const text = JSON.stringify(header)
  const length = Buffer.byteLength(text)
  const bytes = Buffer.allocUnsafeSlow(LENGTH_BYTES + length + payload.length)
  bytes.writeUInt32BE(length, 0)
  bytes.write(text, LENGTH_BYTES)
  bytes.set(payload, LENGTH_BYTES + length)
  return bytes
}

export function decodeMessage(bytes: Buffer): ApplicationMessage {
  return messageOf(headerOf(bytes), bytes)
}

export function decodeWill(sessionKey: string, bytes: Buffer): WillRecord {
  const header = headerOf(bytes)
  return { sessionKey, deviceId: header.d ?? '', message: messageOf(header, bytes) }
}

export const encodeSession = (session: SessionRecord): string => JSON.stringify(session)
export const decodeSession = (text: string): SessionRecord => JSON.parse(text) as SessionRecord

/** The operation `L`: bounds for the operations after it. */
export function encodeLimits({ queueMessages, queueBytes, queueOverflow }: StoreLimits): ScriptArgument[] {
  return ['L', String(queueMessages), String(queueBytes), queueOverflow === 'DropOldest' ? 'O' : 'N']
}

/** The operation `A`. */
export function encodeAccept({
  message,
  targets,
  retained,
  incoming,
  willOf,
  routes,
}: AcceptRequest): ScriptArgument[] {
  const bytes = messageBytes(message)
  const needsBody = targets.length > 0 || retained === 'Set'
  const args: ScriptArgument[] = [
    'A',
    needsBody ? encodeMessage(message) : '',
    String(bytes),
    retained === undefined ? '' : retained === 'Set' ? 'S' : 'C',
    message.topic,
  ]
  if (incoming === undefined) args.push('0')
  else args.push('1', incoming.sessionKey, String(incoming.packetId))
  if (willOf === undefined) args.push('0')
  else args.push('1', willOf)
  args.push(String(targets.length))
  for (const target of targets) args.push(target.sessionKey, encodeMeta(target, bytes, message.expiresAt))
  args.push(...encodeIntake(message, routes))
  return args
}

/** Reads the answers to an accept off `answers`, which start at `from`; gives the result and where it ends. */
export function decodeAccept(
  request: AcceptRequest,
  answers: readonly number[],
  from: number,
): { result: AcceptResult; end: number } {
  const { targets } = request
  if (answers[from] === 1) {
    return { result: { duplicate: true, seqs: targets.map(() => null), dropped: [] }, end: from + 1 }
  }
  const seqs: (number | null)[] = []
  const dropped: { sessionKey: string; count: number }[] = []
  let at = from + 1
  for (const { sessionKey } of targets) {
    const seq = answers[at] ?? 0
    const count = answers[at + 1] ?? 0
    seqs.push(seq === 0 ? null : seq)
    if (count > 0) dropped.push({ sessionKey, count })
    at += 2
  }
  const { routeDrops, end } = decodeDrops(request, answers, at)
  const result = { duplicate: false, seqs, dropped, ...(routeDrops === undefined ? {} : { routeDrops }) }
  return { result, end }
}

/** `meta`: as `encodeMeta` wrote it, or `R<qos>` for a released entry. */
export function decodeEntry(seq: number, meta: string, body: Buffer): QueueEntry {
  if (meta[0] === 'R') {
    return { seq, message: RELEASED_MESSAGE, qos: meta[1] === '2' ? 2 : 1, retain: false, released: true }
  }
  const ids = meta.slice(meta.lastIndexOf(':') + 1)
  const entry: QueueEntry = {
    seq,
    message: decodeMessage(body),
    qos: meta[0] === '2' ? 2 : 1,
    retain: meta[1] === '1',
    released: false,
  }
  if (ids !== '-') entry.subscriptionIds = ids === '' ? [] : ids.split(',').map(Number)
  return entry
}

function encodeMeta(target: AcceptTarget, bytes: number, expiresAt: number | undefined): string {
  const ids = target.subscriptionIds?.join(',') ?? '-'
  return `${target.qos}${target.retain ? 1 : 0}:${bytes}:${expiresAt ?? ''}:${ids}`
}

function headerOf(bytes: Buffer): Header {
  return JSON.parse(bytes.toString('utf8', LENGTH_BYTES, LENGTH_BYTES + bytes.readUInt32BE(0))) as Header
}

function messageOf({ t, q, r, p, e }: Header, bytes: Buffer): ApplicationMessage {
  const payload = bytes.subarray(LENGTH_BYTES + bytes.readUInt32BE(0))
  const message: ApplicationMessage = { topic: t, payload, qos: q, retain: r }
  if (p !== undefined) message.properties = decodeProperties(p)
  if (e !== undefined) message.expiresAt = e
  return message
}

function encodeProperties({ correlationData, ...rest }: MessageProperties): StoredProperties {
  return correlationData === undefined
    ? rest
    : { ...rest, correlationData: correlationData.toString('base64') }
}

function decodeProperties({ correlationData, ...rest }: StoredProperties): MessageProperties {
  return correlationData === undefined
    ? rest
    : { ...rest, correlationData: Buffer.from(correlationData, 'base64') }
}
