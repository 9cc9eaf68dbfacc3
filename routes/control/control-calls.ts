/** What a program beside the worker may ask of it: how routes are, and what to do with dead letters. */
import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'
import type { RouteRecord } from '../../contract/hub-state.ts'
import type { RouteReport } from '../../contract/route-report.ts'
import type { RouteStream } from '../../contract/route-stream.ts'
import {
  type DeadLetterEnvelope,
  deadLetterEnvelope,
  deadLettersOf,
  purgeLetters,
  replayLetters,
} from '../dead-letters.ts'

/** Positions that one call may name: about 30 kB of text. */
export const MAX_POSITIONS = 1_000
/** Letters of one answer. */
export const MAX_PAGE = 100

const positions = Type.Union([
  Type.Literal('all'),
  Type.Array(Type.String({ maxLength: 64 }), { minItems: 1, maxItems: MAX_POSITIONS }),
])
const route = Type.String({ minLength: 1, maxLength: 253 })
/** Key of a hub; needed where several have a route of that name. */
const hub = Type.Optional(Type.String({ minLength: 1, maxLength: 253 }))

export const ControlCall = Type.Union([
  Type.Object({ call: Type.Literal('routes') }),
  Type.Object({
    call: Type.Literal('list'),
    hub,
    route,
    after: Type.Optional(Type.String({ maxLength: 64 })),
    limit: Type.Integer({ minimum: 1, maximum: MAX_PAGE }),
  }),
  Type.Object({ call: Type.Literal('show'), hub, route, position: Type.String({ maxLength: 64 }) }),
  Type.Object({ call: Type.Literal('replay'), hub, route, positions }),
  Type.Object({ call: Type.Literal('purge'), hub, route, positions }),
])
export type ControlCall = Static<typeof ControlCall>

const check = Compile(ControlCall)

/** Undefined: not a call. */
export const parseCall = (value: unknown): ControlCall | undefined => (check.Check(value) ? value : undefined)

export interface RouteListing {
  hub: string
  route: string
  topic: string
  enabled: boolean
  /** Undefined: nothing is known of it yet. */
  report?: RouteReport
}

export type ControlAnswer =
  | { routes: RouteListing[] }
  | { letters: DeadLetterEnvelope[]; next?: string }
  | { letter: DeadLetterEnvelope }
  | { replayed: number; left: number }
  | { purged: number }
  | ControlRefusal

export interface ControlRefusal {
  refused: 'RouteUnknown' | 'RouteAmbiguous' | 'LetterUnknown'
  message: string
}

/** One hub with its worker. */
export interface ControlledHub {
  key: string
  records: () => readonly RouteRecord[]
  reports: () => readonly RouteReport[]
  stream: RouteStream
}

/** Carries a call out. Rejects when the store does. */
export async function answerCall(call: ControlCall, hubs: readonly ControlledHub[]): Promise<ControlAnswer> {
  if (call.call === 'routes') return { routes: hubs.flatMap(listings) }
  const found = findRoute(call, hubs)
  if ('refused' in found) return found
  const { record, stream } = found
  switch (call.call) {
    case 'list':
      return await listLetters(stream, record, call)
    case 'show':
      return await showLetter(stream, record, call.position)
    case 'replay':
      return await replayLetters(stream, record, choiceOf(call.positions))
    case 'purge':
      return { purged: await purgeLetters(stream, record.id, choiceOf(call.positions)) }
  }
}

const choiceOf = (chosen: 'all' | string[]) => (chosen === 'all' ? chosen : { positions: chosen })

function listings({ key, records, reports }: ControlledHub): RouteListing[] {
  const known = new Map(reports().map((report) => [report.routeId, report]))
  return records().map(({ id, name, topic, enabled }) => {
    const report = known.get(id)
    return { hub: key, route: name, topic, enabled, ...(report === undefined ? {} : { report }) }
  })
}

function findRoute(
  { hub: wanted, route: name }: { hub?: string; route: string },
  hubs: readonly ControlledHub[],
): { record: RouteRecord; stream: RouteStream } | ControlRefusal {
  const found = hubs
    .filter(({ key }) => wanted === undefined || key === wanted)
    .flatMap(({ key, records, stream }) =>
      records()
        .filter((record) => record.name === name)
        .map((record) => ({ key, record, stream })),
    )
  const [only, ...others] = found
  if (only === undefined) {
    const where = wanted === undefined ? '' : ` of hub ${wanted}`
    return { refused: 'RouteUnknown', message: `expected a route${where}, got ${JSON.stringify(name)}` }
  }
  if (others.length === 0) return only
  const keys = found.map(({ key }) => key).join(', ')
  return { refused: 'RouteAmbiguous', message: `hubs ${keys} have a route ${name}: name one with --hub` }
}

async function listLetters(
  stream: RouteStream,
  record: RouteRecord,
  { after, limit }: { after?: string; limit: number },
): Promise<ControlAnswer> {
  const page = await stream.deadLetters(record.id, { ...(after === undefined ? {} : { after }), limit })
  const next = page.at(-1)?.entry.position
  return {
    letters: page.map((letter) => deadLetterEnvelope(letter, record)),
    ...(next === undefined ? {} : { next }),
  }
}

async function showLetter(
  stream: RouteStream,
  record: RouteRecord,
  position: string,
): Promise<ControlAnswer> {
  for await (const letter of deadLettersOf(stream, record.id))
    if (letter.entry.position === position) return { letter: deadLetterEnvelope(letter, record) }
  return {
    refused: 'LetterUnknown',
    message: `expected the position of a dead letter of ${record.name}, got ${JSON.stringify(position)}`,
  }
}
