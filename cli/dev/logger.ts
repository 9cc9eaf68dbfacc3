import type { Writable } from 'node:stream'
import { type Logger, pino } from 'pino'
import { humanLine } from '../print/human-log.ts'
import type { Style } from '../print/style.ts'

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

export const LOG_FORMATS = ['auto', 'text', 'json'] as const
export type LogFormat = (typeof LOG_FORMATS)[number]

export interface LogOptions {
  level: LogLevel
  /** `auto`: text on a terminal, JSON elsewhere. */
  format: LogFormat
  stream: Writable & { isTTY?: boolean }
  style: Style
}

export const isJsonLog = ({ format, stream }: Pick<LogOptions, 'format' | 'stream'>): boolean =>
  format === 'json' || (format === 'auto' && stream.isTTY !== true)

/** A log in JSON for programs, or in short lines for people. */
export function createLogger({ level, format, stream, style }: LogOptions): Logger {
  const options = {
    level,
    base: null,
    // Nothing of the kind is logged; should a library's error carry it, it still stays out.
    redact: ['password', 'token', 'privateKey', '*.password', '*.token', '*.privateKey'],
  }
  if (isJsonLog({ format, stream })) return pino(options, stream)
  return pino(options, { write: (line) => stream.write(`${humanLine(line, style)}\n`) })
}
