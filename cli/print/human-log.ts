import type { Style } from './style.ts'

/** pino's numbers for levels. */
const LEVELS: Record<number, string> = {
  10: 'trace',
  20: 'debug',
  30: 'info',
  40: 'warn',
  50: 'error',
  60: 'fatal',
}

/** Fields that stand in the line's own places, or that no reader of a terminal needs. */
const PLACED = new Set(['level', 'time', 'msg', 'hub', 'err', 'pid', 'hostname', 'severity', 'objectId'])

const MAX_LINE = 400

/** One JSON line of pino → `12:03:04 warn  garden: message  key=value`, for a terminal. */
export function humanLine(json: string, style: Style): string {
  let record: Record<string, unknown>
  try {
    record = JSON.parse(json) as Record<string, unknown>
  } catch {
    return printable(json.trimEnd())
  }
  const { time, msg, hub, err } = record
  const level = LEVELS[Number(record['level'])] ?? 'info'
  const where = typeof hub === 'string' ? `${style.name(printable(hub))}: ` : ''
  const fault = isObject(err) ? ` (${printable(String(err['message']))})` : ''
  const text = `${clock(time)} ${coloured(level, style)} ${where}${printable(String(msg ?? ''))}${fault}`
  const fields = fieldText(record)
  return fields === '' ? text : `${text}  ${style.dim(fields)}`
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null

const clock = (time: unknown): string => new Date(Number(time ?? 0)).toTimeString().slice(0, 8)

function coloured(level: string, style: Style): string {
  const padded = level.padEnd(5)
  if (level === 'error' || level === 'fatal') return style.error(padded)
  return level === 'warn' ? style.warning(padded) : style.dim(padded)
}

const fieldText = (record: Record<string, unknown>): string =>
  Object.entries(record)
    .filter(([key, value]) => !PLACED.has(key) && value !== undefined)
    .map(([key, value]) => `${key}=${printable(typeof value === 'string' ? value : JSON.stringify(value))}`)
    .join(' ')

/** Names and topics come from clients: what could move the cursor or end the line is shown, not sent. */
function printable(text: string): string {
  const cut = text.length > MAX_LINE ? `${text.slice(0, MAX_LINE)}…` : text
  return cut.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (char) => `\\u{${char.codePointAt(0)?.toString(16)}}`)
}
