import { createHash, randomBytes } from 'node:crypto'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** Spans of this process: randomness is dear, and one piece of it tells processes apart. */
const PROCESS = randomBytes(4).toString('hex')
let last = 0

/** W3C Trace Context: one trace for all attempts on a message (by its id), one span for each. */
export function traceparent(id: string): string {
  last = (last + 1) % 0x1_0000_0000
  return `00-${traceId(id)}-${PROCESS}${last.toString(16).padStart(8, '0')}-01`
}

/** Ids of messages are UUIDs with enough randomness in them. */
const traceId = (id: string) =>
  UUID.test(id) ? id.replaceAll('-', '') : createHash('sha256').update(id).digest('hex').slice(0, 32)
