import { type QoS, SENT_AT, SENT_BY } from './frames.ts'

/** What the generator does and for how long; `run.ts` hands it over as JSON. */
export interface Scenario {
  /** Key on the command line and in the table. */
  key: string
  title: string
  shape: 'fan-out' | 'fan-in' | 'pairs'
  /** Subscribers of a fan-out, publishers of a fan-in, pairs. */
  size: number
  qos: QoS
  /** Messages a publisher may have under way. At 1 no broker can gather several into one write. */
  window: number
}

export const PAYLOAD_BYTES = 128

export const SCENARIOS: readonly Scenario[] = [
  { key: 'a', title: 'fan-out 1→100 QoS 0', shape: 'fan-out', size: 100, qos: 0, window: 20 },
  { key: 'b', title: 'fan-in 100→1 QoS 0', shape: 'fan-in', size: 100, qos: 0, window: 20 },
  { key: 'c', title: 'pairs 50→50 QoS 1', shape: 'pairs', size: 50, qos: 1, window: 20 },
  { key: 'd', title: 'pairs 50→50 QoS 2', shape: 'pairs', size: 50, qos: 2, window: 20 },
  { key: 'a1', title: 'fan-out 1→100 QoS 0, window 1', shape: 'fan-out', size: 100, qos: 0, window: 1 },
  { key: 'b1', title: 'fan-in 100→1 QoS 0, window 1', shape: 'fan-in', size: 100, qos: 0, window: 1 },
  { key: 'c1', title: 'pairs 50→50 QoS 1, window 1', shape: 'pairs', size: 50, qos: 1, window: 1 },
  { key: 'd1', title: 'pairs 50→50 QoS 2, window 1', shape: 'pairs', size: 50, qos: 2, window: 1 },
]

/** Most links any scenario opens: 100 on one side and 1 on the other. */
export const CLIENTS = 101

/** Client ids that are device ids too, so that every broker gets the same CONNECT. */
export const clientId = (index: number): string =>
  `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`

export interface Measured {
  /** Messages delivered a second. */
  rate: number
  p50Ms: number
  p99Ms: number
  /** Share of one core that the generator itself used: near 1 it, not the broker, sets the pace. */
  generatorCpu: number
}

if (SENT_BY < SENT_AT + 8 || PAYLOAD_BYTES < SENT_BY + 2) throw new Error('payload too short for its head')
