import type { StoreConnection } from './redis-pipeline.ts'
import { decodeEntry } from './redis-store-codec.ts'
import type { QueueEntry } from './store.ts'

/** Bounds of what Redis sends at a time. */
const PAGE_BYTES = 1024 * 1024
const PAGE_ENTRIES = 500

export interface QueuePart {
  key: string
  afterSeq: number
  limit: number
  now: number
}

/** Reads a part of a queue in bounded steps; see `Store.readQueue`. */
export async function readQueuePart(connection: StoreConnection, part: QueuePart): Promise<QueueEntry[]> {
  const found: QueueEntry[] = []
  let after = String(part.afterSeq)
  while (found.length < part.limit) {
    const count = Math.min(part.limit - found.length, PAGE_ENTRIES)
    const args = [part.key, after, String(count), String(part.now), String(PAGE_BYTES)]
    const [next, ...page] = await connection.read(args)
    for (let i = 0; i + 2 < page.length; i += 3) {
      found.push(decodeEntry(Number(page[i]!.toString()), page[i + 1]!.toString('latin1'), page[i + 2]!))
    }
    const text = next?.toString() ?? ''
    if (text === '' && page.length < count * 3) break
    after = text === '' ? String(found.at(-1)!.seq) : text
  }
  return found
}
