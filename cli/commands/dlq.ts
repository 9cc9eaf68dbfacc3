import { join } from 'node:path'
import type { Writable } from 'node:stream'
import type { ControlAnswer, ControlCall, RouteListing } from '../../routes/control/control-calls.ts'
import { CONTROL_FILE, callControl, NoControl } from '../../routes/control/control-client.ts'
import type { DeadLetterEnvelope } from '../../routes/dead-letters.ts'
import { formatTable } from '../print/table.ts'

export interface ControlOptions {
  /** Data folder of the running hublet. */
  data: string
  hub: string | undefined
  json: boolean
}

interface Streams {
  stdout: Writable
  stderr: Writable
}

/** Which dead letters a command is about. */
export interface Chosen {
  positions: readonly string[]
  all: boolean
}

const hubOf = ({ hub }: ControlOptions) => (hub === undefined ? {} : { hub })

/** Prints how the routes of the running hubs are. Exit code: 0, 1 when nobody can be asked. */
export async function runRoutes(options: ControlOptions, streams: Streams): Promise<number> {
  return await ask(options, { call: 'routes' }, streams, (answer) => {
    const all = 'routes' in answer ? answer.routes : []
    const shown = all.filter(({ hub }) => options.hub === undefined || hub === options.hub)
    return { json: shown, text: routeTable(shown) }
  })
}

/** Prints the dead letters of a route, oldest first. */
export async function runDlqList(
  options: ControlOptions & { route: string; limit: number; after: string | undefined },
  streams: Streams,
): Promise<number> {
  const { route, limit, after } = options
  const place = after === undefined ? {} : { after }
  const call: ControlCall = { call: 'list', ...hubOf(options), route, limit, ...place }
  return await ask(options, call, streams, (answer) => {
    const letters = 'letters' in answer ? answer.letters : []
    const more = letters.length === limit ? [`more: --after ${letters.at(-1)?.position}`] : []
    return { json: letters, text: [...letterTable(letters), ...more] }
  })
}

/** Prints one dead letter whole, as JSON. */
export async function runDlqShow(
  options: ControlOptions & { route: string; position: string },
  streams: Streams,
): Promise<number> {
  const { route, position } = options
  return await ask(options, { call: 'show', ...hubOf(options), route, position }, streams, (answer) => {
    const letter = 'letter' in answer ? answer.letter : undefined
    return { json: letter, text: [JSON.stringify(letter, undefined, 2)] }
  })
}

/** Gives dead letters back to the route, or removes them for good. */
export async function runDlqChange(
  options: ControlOptions & Chosen & { route: string; change: 'replay' | 'purge' },
  streams: Streams,
): Promise<number> {
  const { route, change, positions, all } = options
  if (all === positions.length > 0) {
    streams.stderr.write(
      `hublet: dlq ${change} ${route}: expected positions or --all, got ${all ? 'both' : 'neither'}\n`,
    )
    return 1
  }
  const which = all ? 'all' : [...positions]
  const call: ControlCall = { call: change, ...hubOf(options), route, positions: which }
  return await ask(options, call, streams, (answer) => ({ json: answer, text: [changed(answer)] }))
}

function changed(answer: ControlAnswer): string {
  if ('purged' in answer) return `${answer.purged} removed`
  if (!('replayed' in answer)) return ''
  const left = answer.left === 0 ? '' : `, ${answer.left} left: gone meanwhile, or no room in the buffer`
  return `${answer.replayed} given back to the route${left}`
}

async function ask(
  { data, json }: ControlOptions,
  call: ControlCall,
  { stdout, stderr }: Streams,
  show: (answer: ControlAnswer) => { json: unknown; text: string[] },
): Promise<number> {
  try {
    const answer = await callControl(join(data, CONTROL_FILE), call)
    if ('refused' in answer) {
      stderr.write(`hublet: ${answer.message}\n`)
      return 1
    }
    const shown = show(answer)
    stdout.write(json ? `${JSON.stringify(shown.json)}\n` : shown.text.map((line) => `${line}\n`).join(''))
    return 0
  } catch (error) {
    if (!(error instanceof NoControl)) throw error
    stderr.write(`hublet: ${error.message}\n`)
    return 1
  }
}

function routeTable(routes: readonly RouteListing[]): string[] {
  const head = ['HUB', 'ROUTE', 'STATE', 'LAG', 'DELIVERED', 'FAILED', 'DEAD', 'DROPPED', 'LAST ERROR']
  const rows = routes.map(({ hub, route, enabled, report }) => [
    hub,
    route,
    enabled ? (report?.health ?? 'Unknown') : 'Disabled',
    ...[report?.lag, report?.delivered, report?.failed, report?.deadLettered, report?.dropped].map((count) =>
      String(count ?? 0),
    ),
    report?.lastError === undefined ? '' : `${report.lastError.code} ${report.lastError.message}`,
  ])
  return formatTable([head, ...rows])
}

/** A payload may hold anything, and a terminal obeys some of it. */
const SHOWN_BYTES = 40

function letterTable(letters: readonly DeadLetterEnvelope[]): string[] {
  if (letters.length === 0) return ['no dead letters']
  const rows = letters.map(({ position, deadTime, topic, attempts, lastError, payloadBase64 }) => [
    position,
    deadTime,
    JSON.stringify(topic),
    String(attempts),
    lastError.code,
    printable(Buffer.from(payloadBase64, 'base64')),
  ])
  return formatTable([['POSITION', 'GIVEN UP', 'TOPIC', 'ATTEMPTS', 'ERROR', 'PAYLOAD'], ...rows])
}

function printable(payload: Buffer): string {
  const text = JSON.stringify(payload.subarray(0, SHOWN_BYTES).toString())
  return payload.length > SHOWN_BYTES ? `${text} … (${payload.length} bytes)` : text
}
