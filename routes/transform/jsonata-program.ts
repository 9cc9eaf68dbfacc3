/**
 * JSONata over one message. The library runs in a context of its own, of which even the promises can be ended from
 * outside: its guards end what recurses or loops, the clock of the context what a regular expression does. What is in
 * there can neither reach this process nor, by a changed prototype, another route.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { type Context, createContext, Script } from 'node:vm'

export const MAX_TIME_MS = 100

/** The library looks at the clock between steps; one step that takes longer is cut off. */
const CUT_OFF_MS = 2 * MAX_TIME_MS
/**
 * What may have such steps: regular expressions, $distinct (n² comparisons), and $eval, which may hide both. Node
 * starts a thread for each cut-off, which costs more than most expressions do.
 */
const MAY_TAKE_LONG = /\/|\$(?:eval|distinct)\b/
const MAX_DEPTH = 300
/** Items of an array that an expression makes. */
const MAX_ITEMS = 100_000
/** Characters of a result, and of what $pad makes in one step. */
const MAX_TEXT = 4 * 1024 * 1024

export interface JsonataInput {
  topic: string
  payload: string
  retain: boolean
  qos: number
}

/** A text as it is, everything else as JSON. Throws an Error whose message quotes no value of the message. */
export type JsonataProgram = (input: JsonataInput) => string | Buffer

interface Outcome {
  text?: string
  json?: string
  error?: { code?: unknown; position?: unknown; message?: unknown; hasValue: boolean }
}

const library = once(() => {
  const path = createRequire(import.meta.url).resolve('jsonata')
  return new Script(readFileSync(path, 'utf8'), { filename: 'jsonata.js' })
})

const PREPARE = new Script(`
  'use strict'
  const program = jsonata(source, limits)
  program.registerFunction('pad', (text, width, filler) => {
    if (Math.abs(width) > limits.text) throw { code: 'D2015', value: width }
    const fill = [...(filler || ' ')]
    const count = Math.max(0, Math.abs(width) - [...text].length)
    const made = Array.from({ length: count }, (_, n) => fill[n % fill.length]).join('')
    return width < 0 ? made + text : text + made
  }, '<s-ns?:s>')
  const parse = (text) => { try { return JSON.parse(text) } catch { return null } }
  const print = (value) => {
    if (typeof value === 'string') {
      if (value.length > limits.text) throw { code: 'D2015', value: value.length }
      return { text: value }
    }
    if (value?._jsonata_lambda || value?._jsonata_function) return {}
    return { json: JSON.stringify(value) }
  }
  const blame = (error) => ({ error: {
    code: error.code, position: error.position, message: error.message,
    hasValue: error.value !== undefined || error.value2 !== undefined,
  } })
  globalThis.run = () => {
    const { payload, ...variables } = JSON.parse(input)
    program.evaluate(parse(payload), { payload, ...variables }).then(print).catch(blame).then((outcome) => {
      globalThis.outcome = JSON.stringify(outcome)
    })
  }
`)
const RUN = new Script('outcome = undefined; run()')

/** A text instead says what is wrong with the expression. */
export function compileJsonata(source: string): JsonataProgram | string {
  let context: Context
  try {
    context = prepare(source)
  } catch (error) {
    const { message, position } = error as { message: string; position?: number }
    return position === undefined ? message : `${message} (at character ${position})`
  }
  const options = MAY_TAKE_LONG.test(source) ? { timeout: CUT_OFF_MS } : {}
  return (input) => {
    try {
      context['input'] = JSON.stringify(input)
      RUN.runInContext(context, options)
      return payloadOf(context['outcome'] as string | undefined)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error
      // Nobody knows at which point it was cut.
      context = prepare(source)
      throw tookTooLong()
    }
  }
}

function prepare(source: string): Context {
  const limits = { timeout: MAX_TIME_MS, stack: MAX_DEPTH, sequence: MAX_ITEMS, text: MAX_TEXT }
  const context = createContext(Object.assign(Object.create(null), { source, limits }), {
    microtaskMode: 'afterEvaluate',
    codeGeneration: { strings: false, wasm: false },
  })
  library().runInContext(context)
  PREPARE.runInContext(context)
  return context
}

function payloadOf(text: string | undefined): string | Buffer {
  if (text === undefined) throw tookTooLong()
  const outcome = JSON.parse(text) as Outcome
  if (outcome.error !== undefined) throw new Error(reasonOf(outcome.error))
  if (outcome.text !== undefined) return outcome.text
  if (outcome.json === undefined) throw new Error('gave nothing that is a payload')
  return Buffer.from(outcome.json)
}

/** Messages of the library quote values; where one may do so, its code has to do. */
function reasonOf({ code, position, message, hasValue }: NonNullable<Outcome['error']>): string {
  if (code === 'D1012') return tookTooLong().message
  if (code === 'D1011') return `went deeper than ${MAX_DEPTH} calls`
  if (code === 'D2015') return `made more than ${MAX_ITEMS} items, or a text that is too long`
  const place = typeof position === 'number' ? ` at character ${position}` : ''
  // Texts of $error and $assert are made by the expression, from whatever it likes.
  const isOwn = code === 'D3137' || code === 'D3141'
  if (typeof code !== 'string') return 'failed'
  return hasValue || isOwn ? `failed with ${code}${place}` : `${String(message)} (${code}${place})`
}

const tookTooLong = () => new Error(`took longer than ${MAX_TIME_MS} ms`)

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined
  return () => {
    made ??= { value: make() }
    return made.value
  }
}
