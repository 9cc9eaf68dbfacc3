import type { DeviceRecord, FilterRule } from '../../contract/hub-state.ts'
import {
  covers,
  filterFault,
  hasWildcard,
  isShared,
  matches,
  parseSharedFilter,
} from '../../contract/topic.ts'

/**
 * What a device may publish, subscribe to and be sent (spec §2.7). Compiled once per device record; the answers
 * are booleans because they are asked per message: the refusal is always `UNAUTHORIZED_TOPIC` with the topic.
 */
export interface DeviceFilters extends PublishFilter, SubscribeFilter {}

export interface PublishFilter {
  /** For a PUBLISH and for a will, at CONNECT and again when it fires. `topic` has passed `topicFault`. */
  allowsPublish(topic: string): boolean
}

export interface SubscribeFilter {
  /** For a filter of a SUBSCRIBE or of a restored session; `$share/…` is judged by the filter inside it. */
  allowsSubscribe(filter: string): boolean
  /** For every message before it is sent: a granted wildcard may overlap what the device must not see. */
  allowsDelivery(topic: string): boolean
}

export function compileFilters(filters: DeviceRecord['filters'], eventsPrefix: string): DeviceFilters {
  return { ...compilePublishRule(filters.publish, eventsPrefix), ...compileSubscribeRule(filters.subscribe) }
}

export function compilePublishRule(rule: FilterRule, eventsPrefix: string): PublishFilter {
  const listed = compileEntries(rule)
  const accept = rule.policy === 'Accept' || listed.broken
  return {
    allowsPublish: (topic) => !isReservedTopic(topic, eventsPrefix) && listed.match(topic) === accept,
  }
}

export function compileSubscribeRule(rule: FilterRule): SubscribeFilter {
  const listed = compileEntries(rule)
  const accept = rule.policy === 'Accept' || listed.broken
  return {
    allowsSubscribe(requested) {
      const filter = isShared(requested) ? parseSharedFilter(requested)?.filter : requested
      if (filter === undefined || isClosedTo(accept, filter)) return false
      return listed.cover(filter) === accept
    },
    allowsDelivery: (topic) => !isClosedTo(accept, topic) && listed.match(topic) === accept,
  }
}

/**
 * Topics that only the hub itself writes: all that start with `$`, and the events, wherever their prefix is, so
 * that nobody can forge one. Holds for token networks and replies of routes as well.
 */
export function isReservedTopic(topic: string, eventsPrefix: string): boolean {
  return topic.startsWith('$') || isAtOrUnder(topic, eventsPrefix)
}

/**
 * `$` topics are opened by an Accept entry that itself starts with `$` (no other covers them), never by a rule
 * that merely does not forbid them. `$SYS` tells every client id, so no entry opens it.
 */
function isClosedTo(accept: boolean, filter: string): boolean {
  return filter.startsWith('$') && (!accept || isAtOrUnder(filter, '$SYS'))
}

function isAtOrUnder(topic: string, prefix: string): boolean {
  return topic.startsWith(prefix) && (topic.length === prefix.length || topic[prefix.length] === '/')
}

interface Entries {
  /** The rule blocks topics, but not all that it lists can be understood: nothing may pass. */
  broken: boolean
  match(topic: string): boolean
  cover(filter: string): boolean
}

/** Entries are validated long before; one that is invalid all the same must never open anything. */
function compileEntries({ policy, topics }: FilterRule): Entries {
  const valid = topics.filter((entry) => filterFault(entry) === undefined && !isShared(entry))
  if (policy === 'Reject' && valid.length < topics.length) return NO_ENTRIES_BROKEN
  // One look-up for all plain entries keeps the cost of a long list off every message.
  const exact = new Set(valid.filter((entry) => !hasWildcard(entry)))
  const wild = valid.filter(hasWildcard)
  return {
    broken: false,
    match(topic) {
      if (exact.size > 0 && exact.has(topic)) return true
      for (const entry of wild) if (matches(entry, topic)) return true
      return false
    },
    cover: (filter) => exact.has(filter) || wild.some((entry) => covers(entry, filter)),
  }
}

const NO_ENTRIES_BROKEN: Entries = { broken: true, match: () => false, cover: () => false }
