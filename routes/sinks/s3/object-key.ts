/** Names of objects (spec §4.2). Pure. */
import { createHash } from 'node:crypto'
import type { RouteEntry } from '../../../contract/route-stream.ts'

/** S3's own bound, in bytes of UTF-8. */
const MAX_KEY_BYTES = 1024

export type ObjectKey = { key: string } | { fault: string }

/** `<prefix>/<topic>`, or the topic alone without a prefix. */
export function topicKey(prefix: string, topic: string): ObjectKey {
  return checked(joined(prefix, topic))
}

/** `<prefix>/<topic>/<time>`; `digits` are the six of the time below the millisecond. */
export function messageKey(prefix: string, { topic, time }: RouteEntry, digits: number): ObjectKey {
  return checked(`${joined(prefix, topic)}/${nanosecondTime(time, digits)}`)
}

/**
 * Six digits that tell messages of one millisecond apart, which is as exact as their time is known: the same for
 * every attempt on a message, so that a repetition writes the same object.
 */
export function digitsOf(id: string): number {
  return createHash('sha256').update(id).digest().readUInt32BE() % 1_000_000
}

/**
 * `<prefix>/<day>/<time of the first>-<hash of the ids>.ndjson.gz`: an equal batch that is sent again writes the
 * same object, and no other batch writes over it.
 */
export function batchKey(prefix: string, entries: readonly RouteEntry[]): ObjectKey {
  const first = new Date(entries[0]?.time ?? 0).toISOString()
  const ids = createHash('sha256')
  for (const { id } of entries) ids.update(id).update('\n')
  const name = `${first.slice(0, 10)}/${first}-${ids.digest('hex').slice(0, 12)}.ndjson.gz`
  return checked(joined(prefix, name))
}

/** Go's layout `2006-01-02T15:04:05.999999999Z`: nanoseconds without the zeros at their end. */
export function nanosecondTime(time: number, digits: number): string {
  const text = new Date(time).toISOString()
  const fraction = `${text.slice(20, 23)}${String(digits).padStart(6, '0')}`.replace(/0+$/, '')
  return `${text.slice(0, 19)}${fraction === '' ? '' : `.${fraction}`}Z`
}

const joined = (prefix: string, name: string) =>
  prefix === '' ? name : `${prefix.replace(/\/+$/, '')}/${name}`

function checked(key: string): ObjectKey {
  if (Buffer.byteLength(key) > MAX_KEY_BYTES) return { fault: `the key has more than ${MAX_KEY_BYTES} bytes` }
  // Proxies and servers on top of a file system resolve these, and the object lands outside of the prefix.
  if (/(^|\/)\.\.?(\/|$)/.test(key))
    return { fault: 'a level of the topic is . or .., which is no part of a key' }
  return { key }
}
