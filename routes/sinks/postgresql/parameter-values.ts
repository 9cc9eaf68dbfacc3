/** Puts a message into the parameters of a query, each as the type that the server has found for it. Pure. */
import { isUtf8 } from 'node:buffer'
import type { RouteEntry } from '../../../contract/route-stream.ts'
import type { Variable } from '../sql/query-variables.ts'

/** pg sends a Buffer in binary form and a string as text. */
export type ParameterValue = Buffer | string | null
export type ParameterValues = ParameterValue[] | { fault: string }

/** Object ids of types in every PostgreSQL. */
const BYTEA = 17
const INTEGERS = new Set([20, 21, 23])
const NUMBERS = new Set([700, 701, 1700])

export function parameterValues(
  entry: RouteEntry,
  variables: readonly Variable[],
  types: readonly number[],
): ParameterValues {
  const values: ParameterValue[] = []
  for (const [index, variable] of variables.entries()) {
    const type = types[index] ?? 0
    // The database would refuse these bytes as text, or, were they decoded here, store others.
    if (variable === 'PAYLOAD' && type !== BYTEA && !isUtf8(entry.payload))
      return {
        fault: 'the payload is not UTF-8 text, and the query wants text: a bytea column takes any bytes',
      }
    values.push(valueFor(entry, variable, type))
  }
  return values
}

function valueFor(entry: RouteEntry, variable: Variable, type: number): ParameterValue {
  const text = variable === 'PAYLOAD' ? undefined : textOf(entry, variable, type)
  if (text === null) return null
  if (type === BYTEA) return text === undefined ? entry.payload : Buffer.from(text)
  return text ?? entry.payload.toString()
}

function textOf(entry: RouteEntry, variable: Exclude<Variable, 'PAYLOAD'>, type: number): string | null {
  switch (variable) {
    case 'TOPIC':
      return entry.topic
    case 'ID':
      return entry.id
    case 'DEVICE':
      return entry.deviceId ?? null
    case 'QOS':
      return String(entry.qos)
    case 'RETAIN':
      if (INTEGERS.has(type) || NUMBERS.has(type)) return entry.retain ? '1' : '0'
      return String(entry.retain)
    case 'TIME':
      if (INTEGERS.has(type) || NUMBERS.has(type)) return String(entry.time)
      return new Date(entry.time).toISOString()
  }
}
