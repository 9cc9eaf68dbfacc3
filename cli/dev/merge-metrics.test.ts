import { describe, expect, it } from 'vitest'
import { mergeMetrics } from './merge-metrics.ts'

const text = (hub: string, connections: number) =>
  [
    '# HELP hublet_connections Clients connected.',
    '# TYPE hublet_connections gauge',
    `hublet_connections{hub="${hub}"} ${connections}`,
    '',
    '# HELP hublet_sessions Sessions.',
    '# TYPE hublet_sessions gauge',
    `hublet_sessions{hub="${hub}"} 7`,
    '',
  ].join('\n')

describe('metrics of several hubs', () => {
  it('describe each metric once and keep every sample', () => {
    expect(mergeMetrics([text('a', 1), text('b', 2)]).split('\n')).toEqual([
      '# HELP hublet_connections Clients connected.',
      '# TYPE hublet_connections gauge',
      'hublet_connections{hub="a"} 1',
      'hublet_connections{hub="b"} 2',
      '# HELP hublet_sessions Sessions.',
      '# TYPE hublet_sessions gauge',
      'hublet_sessions{hub="a"} 7',
      'hublet_sessions{hub="b"} 7',
      '',
    ])
  })

  it('of no hub are empty', () => {
    expect(mergeMetrics([])).toBe('')
  })
})
