import { Writable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { HubEvent } from '../../contract/hub-event.ts'
import { humanLine } from '../print/human-log.ts'
import { makeStyle } from '../print/style.ts'
import { EventLog } from './event-log.ts'
import { createLogger, type LogFormat } from './logger.ts'

const PLAIN = makeStyle(false)

function collecting({ isTTY = false, format = 'auto' as LogFormat } = {}) {
  const lines: string[] = []
  const stream = Object.assign(
    new Writable({
      write(chunk, _, done) {
        lines.push(...String(chunk).split('\n').slice(0, -1))
        done()
      },
    }),
    { isTTY },
  )
  return { lines, logger: createLogger({ level: 'debug', format, stream, style: PLAIN }) }
}

describe('createLogger', () => {
  it.each([
    ['auto on a terminal', true, 'auto', false],
    ['auto in a pipe', false, 'auto', true],
    ['json on a terminal', true, 'json', true],
    ['text in a pipe', false, 'text', false],
  ] as const)('with %s', (_, isTTY, format, isJson) => {
    const { lines, logger } = collecting({ isTTY, format })
    logger.child({ hub: 'garden' }).warn({ code: 'X' }, 'careful')
    expect(lines).toHaveLength(1)
    if (isJson)
      expect(JSON.parse(lines[0] ?? '')).toMatchObject({
        level: 40,
        hub: 'garden',
        code: 'X',
        msg: 'careful',
      })
    else expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d warn {2}garden: careful {2}code=X$/)
  })

  it('keeps secrets out, should one ever get there', () => {
    const { lines, logger } = collecting()
    logger.info({ token: 'swordfish', device: { password: 'hunter2' } }, 'x')
    expect(lines.join()).not.toMatch(/swordfish|hunter2/)
  })
})

describe('humanLine', () => {
  const line = (record: object) => humanLine(JSON.stringify({ level: 50, time: 0, ...record }), PLAIN)

  it('names the fault', () => {
    expect(line({ msg: 'not started', err: { message: 'port in use', stack: 'a\nb' } })).toMatch(
      /error not started \(port in use\)$/,
    )
  })

  it('sends nothing to the terminal that a client could steer it with', () => {
    const shown = line({ msg: 'topic \u001b[2J\r\n\u202e', topic: '\u0007' })
    expect(shown).not.toMatch(/[\p{Cc}\p{Cf}]/u)
    expect(shown).toContain('\\u{1b}[2J\\u{d}\\u{a}')
  })

  it('cuts what is very long', () => {
    expect(line({ msg: 'x'.repeat(70_000) }).length).toBeLessThan(500)
  })
})

describe('EventLog', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  const refused: HubEvent = {
    code: 'UNAUTHORIZED_TOPIC',
    objectType: 'device',
    objectId: 'id-1',
    detail: 'a/b',
  }

  function logging() {
    const { lines, logger } = collecting()
    const log = new EventLog(logger, {
      now: () => performance.now(),
      nameOf: ({ objectId }) => (objectId === 'id-1' ? 'lamp' : undefined),
    })
    return { log, records: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) }
  }

  it('writes an event with its severity, its code and the name of the device', () => {
    const { log, records } = logging()
    log.write(refused)
    log.write({ code: 'CONNECTION_REPLACED', objectType: 'device', objectId: 'unknown' })
    expect(records()).toEqual([
      expect.objectContaining({
        level: 50,
        code: 'UNAUTHORIZED_TOPIC',
        device: 'lamp',
        msg: 'unauthorized topic a/b',
      }),
      expect.objectContaining({ level: 30, code: 'CONNECTION_REPLACED' }),
    ])
    expect(records()[1]).not.toHaveProperty('device')
  })

  it('counts what a flood of refusals is too much of, and tells', () => {
    const { log, records } = logging()
    for (let i = 0; i < 1_000; i += 1) log.write(refused)
    expect(records()).toHaveLength(100)
    vi.advanceTimersByTime(1_000)
    expect(records().at(-1)).toMatchObject({ suppressed: 900, msg: 'events are not shown one by one' })
    log.write(refused)
    expect(records().at(-1)).toMatchObject({ code: 'UNAUTHORIZED_TOPIC' })
  })

  it('tells at the end what it has not told yet', () => {
    const { log, records } = logging()
    for (let i = 0; i < 101; i += 1) log.write(refused)
    log.close()
    expect(records().at(-1)).toMatchObject({ suppressed: 1 })
  })
})
