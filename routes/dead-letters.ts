/** What `hublet dlq` lists, shows, replays and purges. */
import type { RouteRecord } from '../contract/hub-state.ts'
import type { DeadLetter, RouteAppend, RouteStream } from '../contract/route-stream.ts'

/** A dead letter for people and for programs in other languages; times are RFC 3339. */
export interface DeadLetterEnvelope {
  route: { id: string; name: string }
  /** For `replay` and `purge`. */
  position: string
  id: string
  topic: string
  payloadBase64: string
  qos: 0 | 1 | 2
  retain: boolean
  time: string
  device?: string
  contentType?: string
  attempts: number
  firstError: EnvelopeError
  lastError: EnvelopeError
  deadTime: string
}

interface EnvelopeError {
  code: string
  message: string
  time: string
}

const PAGE = 100

export function deadLetterEnvelope(letter: DeadLetter, { id, name }: RouteRecord): DeadLetterEnvelope {
  const { entry, attempts, firstError, lastError, deadAt } = letter
  return {
    route: { id, name },
    position: entry.position,
    id: entry.id,
    topic: entry.topic,
    payloadBase64: entry.payload.toString('base64'),
    qos: entry.qos,
    retain: entry.retain,
    time: rfc3339(entry.time),
    ...(entry.deviceId === undefined ? {} : { device: entry.deviceId }),
    ...(entry.contentType === undefined ? {} : { contentType: entry.contentType }),
    attempts,
    firstError: { ...firstError, time: rfc3339(firstError.time) },
    lastError: { ...lastError, time: rfc3339(lastError.time) },
    deadTime: rfc3339(deadAt),
  }
}

/** Every dead letter of a route, oldest first, read page by page. */
export async function* deadLettersOf(stream: RouteStream, routeId: string): AsyncGenerator<DeadLetter> {
  let after: string | undefined
  for (;;) {
    const page = await stream.deadLetters(routeId, { ...(after === undefined ? {} : { after }), limit: PAGE })
    yield* page
    const last = page.at(-1)
    if (last === undefined) return
    after = last.entry.position
  }
}

/** How a route's messages are appended: what the broker uses too. */
export function routeAppend({ id, spec }: RouteRecord): RouteAppend {
  return { routeId: id, partitions: spec.delivery.partitions, buffer: spec.delivery.buffer }
}

/** Which dead letters are meant. */
export type LetterChoice = 'all' | { positions: readonly string[] }

export interface ReplayOutcome {
  replayed: number
  /** There was no room for them: they are dead letters still. */
  left: number
}

/** Puts dead letters back into the route. Letters that die while this runs are left alone. */
export async function replayLetters(
  stream: RouteStream,
  record: RouteRecord,
  choice: LetterChoice,
): Promise<ReplayOutcome> {
  const positions = await chosen(stream, record.id, choice)
  let replayed = 0
  for (let at = 0; at < positions.length; at += PAGE)
    replayed += await stream.replay(record.id, positions.slice(at, at + PAGE), routeAppend(record))
  return { replayed, left: positions.length - replayed }
}

/** Removes dead letters for good; tells how many. */
export async function purgeLetters(
  stream: RouteStream,
  routeId: string,
  choice: LetterChoice,
): Promise<number> {
  const positions = await chosen(stream, routeId, choice)
  let purged = 0
  for (let at = 0; at < positions.length; at += PAGE)
    purged += await stream.purge(routeId, { positions: positions.slice(at, at + PAGE) })
  return purged
}

async function chosen(
  stream: RouteStream,
  routeId: string,
  choice: LetterChoice,
): Promise<readonly string[]> {
  if (choice !== 'all') return choice.positions
  const positions: string[] = []
  for await (const { entry } of deadLettersOf(stream, routeId)) positions.push(entry.position)
  return positions
}

const rfc3339 = (time: number) => new Date(time).toISOString()
