import { isUtf8 } from 'node:buffer'
import type { HubRecord, NetworkRecord } from '../../contract/hub-state.ts'
import { topicFault } from '../../contract/topic.ts'
import { isReservedTopic } from './filters.ts'
import type { QoS } from './service-level.ts'
import { allow, type Denied, deny, type Verdict } from './verdict.ts'

/** All values of each header, as HTTP libraries give them: one character a byte. */
export interface NetworkRequest {
  topic: readonly string[]
  qos: readonly string[]
  retain: readonly string[]
}

export interface NetworkMessage {
  /** With the network's prefix. */
  topic: string
  qos: QoS
  retain: boolean
}

/**
 * What a POST to a token network asks to publish (spec §3). Refuses with `BAD_NETWORK_REQUEST`; the detail names
 * the header, what was expected and what came. Device filters play no part: a token network is no device.
 */
export function judgeNetworkRequest(
  request: NetworkRequest,
  network: Pick<NetworkRecord, 'topicPrefix'>,
  hub: Pick<HubRecord, 'events'>,
): Verdict<NetworkMessage> {
  const topic = readTopic(request.topic, network, hub)
  if (!topic.allowed) return topic
  const qos = readChoice('X-QoS', request.qos, QOS)
  if (!qos.allowed) return qos
  const retain = readChoice('X-Retain', request.retain, RETAIN)
  if (!retain.allowed) return retain
  return allow({ topic: topic.value, qos: qos.value, retain: retain.value })
}

/** The first entry of each is the default. */
const QOS: ReadonlyMap<string, QoS> = new Map([
  ['0', 0],
  ['1', 1],
  ['2', 2],
])
const RETAIN: ReadonlyMap<string, boolean> = new Map([
  ['false', false],
  ['true', true],
  ['0', false],
  ['1', true],
])

const SHOWN_CHARACTERS = 64

function readTopic(
  values: readonly string[],
  { topicPrefix }: Pick<NetworkRecord, 'topicPrefix'>,
  { events }: Pick<HubRecord, 'events'>,
): Verdict<string> {
  const [value, another] = values
  if (value === undefined) return refuse('X-Topic', 'a topic', 'none')
  // Joined with a comma, as HTTP would have it, two topics would be a third one.
  if (another !== undefined) return refuse('X-Topic', 'one topic', `${values.length}`)
  const bytes = Buffer.from(value, 'latin1')
  if (!isUtf8(bytes)) return refuse('X-Topic', 'UTF-8', 'other bytes')
  const own = bytes.toString()
  if (own === '') return refuse('X-Topic', 'a topic', 'an empty one')
  const topic = topicPrefix === '' ? own : `${topicPrefix}/${own}`
  const fault = topicFault(topic)
  if (fault !== undefined) return refuse('X-Topic', 'a topic', `one that ${fault}`)
  if (isReservedTopic(topic, events.topicPrefix)) {
    return refuse('X-Topic', 'a topic that is not reserved', shown(topic))
  }
  return allow(topic)
}

function readChoice<T>(
  header: string,
  values: readonly string[],
  choices: ReadonlyMap<string, T>,
): Verdict<T> {
  const [first] = choices.values()
  const [value, another] = values
  if (value === undefined) return allow(first as T)
  const choice = choices.get(value.toLowerCase())
  if (choice !== undefined && another === undefined) return allow(choice)
  const got = another === undefined ? shown(value) : `${values.length} values`
  return refuse(header, [...choices.keys()].join(', '), got)
}

function refuse(header: string, expected: string, got: string): Denied {
  return deny('BAD_NETWORK_REQUEST', `${header}: expected ${expected}, got ${got}`)
}

const shown = (text: string) => JSON.stringify(text.slice(0, SHOWN_CHARACTERS))
