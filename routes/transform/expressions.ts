/**
 * `spec.filter` and `spec.transform`: CEL or JSONata over one message, compiled once. CEL has no loops but over what
 * is there, so bounding the input bounds the time, except for nested loops and regular expressions: those run
 * against the clock, as all of JSONata does.
 */

import { isUtf8 } from 'node:buffer'
import { createContext, Script } from 'node:vm'
import { Environment, type ParseResult } from '@marcbachmann/cel-js'
import type { RouteEntry } from '../../contract/route-stream.ts'
import type { RouteSpec } from '../../crds/route.ts'
import { permanent, type SinkFailure } from '../sinks/sink.ts'
import { compileJsonata, MAX_TIME_MS } from './jsonata-program.ts'

/** A message as it goes on, or why it does not. */
export type Transformed = { take: false } | { take: true; entry: RouteEntry } | { failure: SinkFailure }
export type Transform = (entry: RouteEntry) => Transformed

/** Larger payloads are not read as text: an expression on them would hold up the whole worker. */
const MAX_INPUT_BYTES = 256 * 1024
const MAX_OUTPUT_BYTES = 4 * 1024 * 1024

/** Nested loops take n² steps and more, and a regular expression on the wrong text takes for ever. */
const MAY_TAKE_LONG = /\.\s*(?:all|exists|exists_one|filter|map|matches)\s*\(|\bmatches\s*\(/

/** The same for every route: `topic`, `payload`, `json`, `retain` and `qos`, as the API says. */
const environment = new Environment({ homogeneousAggregateLiterals: false })
  .registerVariable('topic', 'string')
  .registerVariable('payload', 'string')
  .registerVariable('json', 'dyn')
  .registerVariable('retain', 'bool')
  .registerVariable('qos', 'int')

/** Why the text of an expression is none, for a condition; undefined: it is one. */
export function expressionFault(
  field: 'filter' | 'transform',
  text: string,
  language: Language = 'CEL',
): string | undefined {
  const program = compile(field, text, language)
  return typeof program === 'string' ? program : undefined
}

/** Compiles both expressions of a route. A text instead says what is wrong with one of them. */
export function compileTransform({
  filter,
  transform,
}: Pick<RouteSpec, 'filter' | 'transform'>): Transform | string {
  const condition = filter === undefined ? undefined : compile('filter', filter.expression)
  const rewrite =
    transform === undefined ? undefined : compile('transform', transform.expression, transform.language)
  if (typeof condition === 'string') return condition
  if (typeof rewrite === 'string') return rewrite
  if (condition === undefined && rewrite === undefined) return (entry) => ({ take: true, entry })
  return (entry) => apply(entry, condition, rewrite)
}

type Language = NonNullable<RouteSpec['transform']>['language']

interface Program {
  run: (input: Record<string, unknown>) => unknown
  source: string
}

function apply(entry: RouteEntry, condition: Program | undefined, rewrite: Program | undefined): Transformed {
  const input = readInput(entry)
  if (input === undefined)
    return { failure: failed('expression', `can't read a payload of more than ${MAX_INPUT_BYTES} bytes`) }
  if (condition !== undefined) {
    const verdict = evaluate('filter', condition, input)
    if ('failure' in verdict) return verdict
    if (typeof verdict.value !== 'boolean')
      return { failure: failed('filter', `gave ${kindOf(verdict.value)}, not a bool`) }
    if (!verdict.value) return { take: false }
  }
  if (rewrite === undefined) return { take: true, entry }
  const result = evaluate('transform', rewrite, input)
  if ('failure' in result) return result
  const payload = toPayload(result.value)
  if (typeof payload === 'string') return { failure: failed('transform', payload) }
  return { take: true, entry: { ...entry, payload } }
}

function compile(field: 'filter' | 'transform', text: string, language: Language = 'CEL'): Program | string {
  if (language === 'JSONata') return jsonata(field, text)
  try {
    const run = environment.parse(text)
    const checked = run.check()
    if (!checked.valid) return `${field}.expression: ${firstLine(checked.error?.message)}`
    return { run: MAY_TAKE_LONG.test(text) ? timed(run) : run, source: text }
  } catch (error) {
    return `${field}.expression: ${firstLine((error as Error).message)}`
  }
}

function jsonata(field: 'transform' | 'filter', text: string): Program | string {
  const program = compileJsonata(text)
  if (typeof program === 'string') return `${field}.expression: ${firstLine(program)}`
  return {
    run: ({ topic, payload, retain, qos }) =>
      program({ topic: `${topic}`, payload: `${payload}`, retain: retain === true, qos: Number(qos) }),
    source: text,
  }
}

function readInput(entry: RouteEntry): Record<string, unknown> | undefined {
  const { topic, payload, retain, qos } = entry
  if (payload.length > MAX_INPUT_BYTES) return undefined
  // Bytes that are no text are an empty text: an expression on the topic alone need not fail on them.
  const text = isUtf8(payload) ? payload.toString() : ''
  return { topic, payload: text, json: parseJson(text), retain, qos: BigInt(qos) }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

const watched = createContext({ run: undefined as (() => unknown) | undefined })
const watchedCall = new Script('run()')

/** Throws when it takes longer than `MAX_TIME_MS`: what `vm` runs can be ended from outside. */
function timed(run: ParseResult): Program['run'] {
  return (input) => {
    watched['run'] = () => run(input)
    try {
      return watchedCall.runInContext(watched, { timeout: MAX_TIME_MS })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error
      throw new Error(`took longer than ${MAX_TIME_MS} ms`)
    } finally {
      watched['run'] = undefined
    }
  }
}

function evaluate(
  field: 'filter' | 'transform',
  program: Program,
  input: Record<string, unknown>,
): { value: unknown } | { failure: SinkFailure } {
  try {
    return { value: program.run(input) }
  } catch (error) {
    return { failure: failed(field, withoutValues(firstLine((error as Error).message), program.source)) }
  }
}

/** An error may quote a key or a value of the payload; types, and what the expression itself says, may be shown. */
function withoutValues(message: string, source: string): string {
  const [what = '', detail] = message.split(': ', 2)
  if (detail === undefined || what === 'no such overload' || source.includes(detail)) return message
  return what
}

/** Texts and bytes as they are, everything else as JSON; a text instead says why there is no payload. */
function toPayload(value: unknown): Buffer | string {
  let payload: Buffer
  if (typeof value === 'string') payload = Buffer.from(value)
  else if (value instanceof Uint8Array) payload = Buffer.from(value)
  else {
    const text = toJson(value)
    if (text === undefined) return `gave ${kindOf(value)}, which is no payload`
    payload = Buffer.from(text)
  }
  return payload.length > MAX_OUTPUT_BYTES ? `gave more than ${MAX_OUTPUT_BYTES} bytes` : payload
}

function toJson(value: unknown): string | undefined {
  try {
    return JSON.stringify(value, (_, inner: unknown) => {
      if (typeof inner === 'bigint') return rawJson(String(inner))
      return inner instanceof Map ? Object.fromEntries(inner) : inner
    })
  } catch {
    return undefined
  }
}

/** In Node 24, and not yet in TypeScript's library. */
const rawJson = (text: string): unknown =>
  (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(text)

const kindOf = (value: unknown) =>
  value === null ? 'null' : Array.isArray(value) ? 'a list' : `a ${typeof value}`

const firstLine = (text = '') => (text.split('\n', 1)[0] ?? '').trim()

const failed = (field: string, message: string): SinkFailure =>
  permanent({ code: 'EXPRESSION_FAILED', message: `${field}: ${message}` })
