import { expect, it } from 'vitest'
import type { Finding } from '../runtime/conditions.ts'
import { failing, progressing, ready, stalled } from '../runtime/conditions.ts'
import type { EventText } from '../runtime/events.ts'
import { tellReadiness } from './ready-events.ts'

const why = (reason: string) => ({ reason, message: `because ${reason}` })

function told(kind: string, before: Finding[], now: Finding[]): EventText[] {
  const events: EventText[] = []
  const conditions = before.map((finding) => ({ ...finding, lastTransitionTime: '2026-01-01T00:00:00Z' }))
  const object = { kind, metadata: { name: 'x' }, status: { conditions } }
  tellReadiness({ event: (_, text) => void events.push(text) }, object, now)
  return events
}

const warning = (reason: string) => [
  { type: 'Warning', reason, action: 'Reconcile', note: `because ${reason}` },
]

it.each([
  [
    'ready to failing',
    ready(why('Succeeded')),
    failing(why('RedisUnavailable')),
    warning('RedisUnavailable'),
  ],
  ['one fault to another', failing(why('A')), stalled(why('B')), warning('B')],
  ['the same fault', failing(why('A')), failing(why('A')), []],
  ['first sight to a fault', [], stalled(why('NameTaken')), warning('NameTaken')],
  ['fault to on its way', failing(why('A')), progressing(why('Progressing')), []],
])('%s', (_, before, now, events) => {
  expect(told('Device', before, now)).toEqual(events)
})

it('of a hub that is ready again is told, of thousands of devices not', () => {
  const [before, now] = [failing(why('A')), ready(why('Succeeded'))]
  expect(told('Hub', before, now)).toEqual([
    { type: 'Normal', reason: 'Ready', action: 'Reconcile', note: 'because Succeeded' },
  ])
  expect(told('Device', before, now)).toEqual([])
  expect(told('Hub', now, ready(why('Succeeded')))).toEqual([])
})
