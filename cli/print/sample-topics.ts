import { compileFilters } from '../../broker/policy/filters.ts'
import type { DeviceRecord } from '../../contract/hub-state.ts'
import { filterFault, overlaps, topicFault } from '../../contract/topic.ts'

/** Topics that the rules of a device let through; undefined where there is none to be found. */
export interface SampleTopics {
  publish: string | undefined
  subscribe: string | undefined
  /** What it may see of the hub's events. */
  events: string | undefined
}

/**
 * Looks for topics to show in commands, and asks the broker's own policy about each, so that what is printed
 * works when it is pasted.
 */
export function sampleTopics({ name, filters }: DeviceRecord, eventsPrefix: string): SampleTopics {
  const policy = compileFilters(filters, eventsPrefix)
  const level = asLevel(name)
  const publishable = [
    ...acceptedBy(filters.publish).map(asTopic),
    `${level}/demo`,
    'demo/hello',
    'hello',
    `demo/${level}/hello`,
  ]
  const subscribable = [
    ...acceptedBy(filters.subscribe).filter((entry) => !entry.startsWith('$')),
    '#',
    `${level}/#`,
    'demo/#',
    'hello',
  ]
  const allEvents = `${eventsPrefix}/#`
  const eventFilters = [
    allEvents,
    ...acceptedBy(filters.subscribe).filter((entry) => overlaps(entry, allEvents)),
  ]
  const subscribes = (filter: string) => filterFault(filter) === undefined && policy.allowsSubscribe(filter)
  return {
    publish: publishable.find((topic) => topicFault(topic) === undefined && policy.allowsPublish(topic)),
    subscribe: subscribable.find(subscribes),
    events: eventFilters.find(subscribes),
  }
}

const acceptedBy = ({ policy, topics }: DeviceRecord['filters']['publish']): readonly string[] =>
  policy === 'Accept' ? topics : []

/** A topic that the filter matches. */
const asTopic = (filter: string): string => filter.replaceAll(/[+#]/g, 'demo')

/** The name of a device as one level of a topic. */
function asLevel(name: string): string {
  const level = name.replaceAll(/[^\p{L}\p{N}._-]+/gu, '-').replaceAll(/^-+|-+$/g, '')
  return level === '' ? 'device' : level
}
