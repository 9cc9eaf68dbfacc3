import type { ScriptArgument } from '../../contract/redis-script.ts'
import {
  type DeadLetter,
  type RouteAppend,
  type RouteEntry,
  type RouteFailure,
  routePartition,
} from '../../contract/route-stream.ts'
import { positionOf, routeBytes, routeContent } from './route-entry.ts'
import type { AcceptRequest, ApplicationMessage, RouteDrops, RouteIntake } from './store.ts'

/** What stands before the payload of an entry. One letter each, as there is one of it a message. */
interface EntryHeader {
  t: string
  q: 0 | 1 | 2
  r: boolean
  i: string
  /** Time of arrival. */
  a: number
  /** Device id. */
  d?: string
  c?: string
  /** Trail. */
  l?: readonly string[]
}

/** What stands before the entry of a dead letter. */
interface LetterHeader {
  n: number
  f: RouteFailure
  l: RouteFailure
  /** Time of death. */
  z: number
}

const LENGTH_BYTES = 4

/** Length of the header, header as JSON, rest. */
function framed(header: object, rest: Uint8Array): Buffer {
  const text = JSON.stringify(header)
  const length = Buffer.byteLength(text)
  const bytes = Buffer.allocUnsafeSlow(LENGTH_BYTES + length + rest.length)
  bytes.writeUInt32BE(length, 0)
  bytes.write(text, LENGTH_BYTES)
  bytes.set(rest, LENGTH_BYTES + length)
  return bytes
}

function unframed<T>(bytes: Buffer): { header: T; rest: Buffer } {
  const end = LENGTH_BYTES + bytes.readUInt32BE(0)
  return { header: JSON.parse(bytes.toString('utf8', LENGTH_BYTES, end)) as T, rest: bytes.subarray(end) }
}

export function encodeRouteEntry(entry: Omit<RouteEntry, 'position'>): Buffer {
  const { topic, payload, qos, retain, id, time, deviceId, contentType, trail } = entry
  const header: EntryHeader = { t: topic, q: qos, r: retain, i: id, a: time }
  if (deviceId !== undefined) header.d = deviceId
  if (contentType !== undefined) header.c = contentType
  if (trail !== undefined) header.l = trail
  return framed(header, payload)
}

export function decodeRouteEntry(seq: number, bytes: Buffer): RouteEntry {
  const { header, rest } = unframed<EntryHeader>(bytes)
  const { t, q, r, i, a, d, c, l } = header
  return {
    position: positionOf(seq),
    id: i,
    topic: t,
    payload: rest,
    qos: q,
    retain: r,
    ...(c === undefined ? {} : { contentType: c }),
    time: a,
    ...(d === undefined ? {} : { deviceId: d }),
    ...(l === undefined ? {} : { trail: l }),
  }
}

export function encodeLetter({ entry, attempts, firstError, lastError, deadAt }: DeadLetter): Buffer {
  const header: LetterHeader = { n: attempts, f: firstError, l: lastError, z: deadAt }
  return framed(header, encodeRouteEntry(entry))
}

export function decodeLetter(seq: number, bytes: Buffer): DeadLetter {
  const { header, rest } = unframed<LetterHeader>(bytes)
  const { n, f, l, z } = header
  return { entry: decodeRouteEntry(seq, rest), attempts: n, firstError: f, lastError: l, deadAt: z }
}

/** Bounds of a route as the scripts read them: messages, bytes, `O` or `N`. */
export function encodeBuffer({ buffer }: RouteAppend): ScriptArgument[] {
  return [String(buffer.messages), String(buffer.bytes), buffer.overflow === 'DropOldest' ? 'O' : 'N']
}

/** The end of the operation `A`: how many routes, then what they take, then each. */
export function encodeIntake(message: ApplicationMessage, intake: RouteIntake | undefined): ScriptArgument[] {
  if (intake === undefined || intake.into.length === 0) return ['0']
  const { into, ...facts } = intake
  const content = routeContent(message)
  const body = encodeRouteEntry({ ...content, ...facts })
  const args: ScriptArgument[] = [String(into.length), body, String(routeBytes(content)), String(facts.time)]
  for (const append of into) {
    const partition = routePartition(message.topic, append.partitions)
    args.push(append.routeId, String(partition), ...encodeBuffer(append))
  }
  return args
}

/** Reads what each route has lost off `answers`. */
export function decodeDrops(
  { routes }: AcceptRequest,
  answers: readonly number[],
  from: number,
): { routeDrops: RouteDrops | undefined; end: number } {
  const into = routes?.into ?? []
  const drops = into.flatMap(({ routeId }, index) => {
    const count = answers[from + index] ?? 0
    return count > 0 ? [{ routeId, count }] : []
  })
  return { routeDrops: drops.length > 0 ? drops : undefined, end: from + into.length }
}
