import { Counter, Gauge, Registry } from 'prom-client'
import type { Counters } from './counters.ts'
import type { SessionContext } from './session/context.ts'
import type { Link } from './session/link.ts'

/** Counter → name and help. Labels would cost a look-up per message, so the hub's stand for all. */
const COUNTERS: Readonly<Record<keyof Counters, readonly [name: string, help: string]>> = {
  messagesReceived: ['hublet_messages_received_total', 'PUBLISH packets from devices.'],
  messagesDelivered: [
    'hublet_messages_delivered_total',
    'Messages handed to a subscriber, each copy counted.',
  ],
  messagesRefused: [
    'hublet_messages_refused_total',
    'PUBLISH packets that a rule of the hub or device refused.',
  ],
  droppedSlow: ['hublet_messages_dropped_slow_total', 'QoS 0 messages that a subscriber was too slow for.'],
  droppedQueueFull: ['hublet_messages_dropped_queue_total', 'Messages that a full session queue lost.'],
  messagesRouted: [
    'hublet_messages_routed_total',
    'Messages given to routes, each route counted, those that were dropped included.',
  ],
  droppedRouteFull: ['hublet_messages_dropped_route_total', 'Messages that the full buffer of a route lost.'],
  routeReplies: ['hublet_route_replies_total', 'Replies of the destinations of routes that were published.'],
  connectionsAccepted: ['hublet_connects_accepted_total', 'CONNECT packets that were let in.'],
  connectionsRefused: ['hublet_connects_refused_total', 'CONNECT packets that were refused.'],
  eventsPublished: ['hublet_events_published_total', 'Events on the events topic.'],
  eventsSuppressed: ['hublet_events_suppressed_total', 'Events held back by their rate limit.'],
  networkRequests: ['hublet_network_requests_total', 'Messages that came in by token networks.'],
  storeFaults: ['hublet_store_faults_total', 'Operations of the store that failed.'],
}

export interface MetricsParts {
  context: SessionContext
  links: () => ReadonlySet<Link>
}

/** Prometheus metrics of one broker, read from the data plane only when they are asked for. */
export function createMetrics({ context, links }: MetricsParts): Registry {
  const registry = new Registry()
  const { namespace, name } = context.hub()
  registry.setDefaultLabels({ namespace, hub: name })
  for (const [key, [metric, help]] of Object.entries(COUNTERS)) {
    const counter = new Counter({
      name: metric,
      help,
      registers: [registry],
      collect() {
        counter.reset()
        counter.inc(context.counters[key as keyof Counters])
      },
    })
  }
  gauge(registry, 'hublet_connections', 'Clients connected.', () => context.devices.links)
  gauge(
    registry,
    'hublet_links',
    'Open sockets, those that have not finished CONNECT included.',
    () => links().size,
  )
  gauge(registry, 'hublet_sessions', 'Sessions, with and without a connection.', () => context.sessions.size)
  gauge(
    registry,
    'hublet_subscriptions',
    'Subscriptions.',
    () => context.subscriptions.size + context.shared.size,
  )
  gauge(registry, 'hublet_retained_messages', 'Retained messages.', () => context.retained.messages)
  gauge(registry, 'hublet_retained_bytes', 'Bytes of retained messages.', () => context.retained.bytes)
  return registry
}

function gauge(registry: Registry, name: string, help: string, read: () => number): void {
  const metric: Gauge = new Gauge({
    name,
    help,
    registers: [registry],
    collect() {
      metric.set(read())
    },
  })
}
