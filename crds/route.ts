import type { Static } from 'typebox'
import { Type } from 'typebox'
import { Block, Choice, exactlyOneOf, Flag, Text, Time, Whole } from './fields.ts'
import type { KindDefinition, Resource } from './meta.ts'
import { lastColumns, objectNameRule, readyColumns, statusBase } from './meta.ts'
import { kafka, mqtt, nats } from './route-messaging-sinks.ts'
import { database, ifttt, rest, s3 } from './route-sinks.ts'
import { Duration, hubRef } from './shared-fields.ts'
import { FILTER_MAX_LENGTH, filterRules } from './topics.ts'

/** Destinations of a route; exactly one is set. */
export const ROUTE_SINKS = ['s3', 'database', 'rest', 'ifttt', 'nats', 'kafka', 'mqtt'] as const
export type RouteSink = (typeof ROUTE_SINKS)[number]

const delivery = Block(
  {
    maxAttempts: Whole({
      default: 10,
      minimum: 1,
      maximum: 1000,
      description: 'Attempts for one message, the first included; then it goes to the dead letters.',
    }),
    backoff: Block(
      {
        initial: Duration({ default: '1s', minimum: '10ms', description: 'Wait after the first failure.' }),
        maximum: Duration({
          default: '5m',
          minimum: '10ms',
          maximum: '24h',
          description: 'Longest wait; each one is twice the one before, give or take a random part.',
        }),
      },
      {
        default: {},
        description: 'Waits between attempts.',
      },
    ),
    timeout: Duration({
      default: '30s',
      minimum: '100ms',
      maximum: '10m',
      description: 'An attempt that takes longer has failed.',
    }),
    concurrency: Whole({
      default: 16,
      minimum: 1,
      maximum: 256,
      description: 'Messages that one sidecar delivers at a time.',
    }),
    order: Choice(['PerTopic', 'None'], {
      default: 'PerTopic',
      description:
        'PerTopic: the first attempts on messages of one topic happen in order, and a retry holds back its topic.',
    }),
    partitions: Whole({
      default: 4,
      minimum: 1,
      maximum: 16,
      description: 'Streams that the topics are spread over; each is worked on by one broker pod at a time.',
    }),
    buffer: Block(
      {
        messages: Whole({
          default: 100_000,
          minimum: 1,
          maximum: 10_000_000,
          description: 'Messages that wait for delivery.',
        }),
        bytes: Whole({
          default: 268_435_456,
          minimum: 1024,
          maximum: 68_719_476_736,
          description: 'Bytes that wait for delivery.',
        }),
        overflow: Choice(['DropOldest', 'DropNewest'], {
          default: 'DropOldest',
          description: 'Which message goes when the buffer is full. Every one is counted in status.dropped.',
        }),
      },
      { default: {}, description: 'What waits while the destination is slow or down; the hub never waits.' },
    ),
  },
  { default: {}, description: 'How hard delivery is tried: at least once, within these bounds.' },
)

const deadLetter = Block(
  {
    enabled: Flag({
      default: true,
      description: 'Whether messages that could not be delivered are kept, with the reason, for a replay.',
    }),
    maxMessages: Whole({
      default: 10_000,
      minimum: 1,
      maximum: 1_000_000,
      description: 'Dead letters kept; the oldest makes room.',
    }),
    maxAge: Duration({
      default: '168h',
      minimum: '1m',
      description: 'Dead letters older than this are removed.',
    }),
  },
  { default: {}, description: 'Messages that could not be delivered.' },
)

const AT_HAND = 'topic, payload (text), json (parsed payload or null), retain and qos are at hand'

const expression = (description: string) => Text({ description, minLength: 1, maxLength: 4096 })

const filter = Block(
  { expression: expression(`Condition in CEL; ${AT_HAND}.`) },
  { description: 'Takes only messages for which the condition is true.' },
)

const transform = Block(
  {
    language: Choice(['CEL', 'JSONata'], {
      default: 'CEL',
      description: 'Language of the expression. CEL is the faster one, JSONata reshapes documents.',
    }),
    expression: expression(
      `New payload. In CEL ${AT_HAND}; in JSONata the parsed payload is the input, and $topic, $payload, $retain and ` +
        '$qos are at hand.',
    ),
  },
  { description: 'Replaces the payload before delivery.' },
)

export const RouteSpec = Block(
  {
    hubRef,
    enabled: Flag({
      default: true,
      description: 'Whether messages are taken; false keeps what waits already.',
    }),
    topic: Text({
      description: 'MQTT topic filter of the messages to take. # does not match topics that begin with $.',
      minLength: 1,
      maxLength: FILTER_MAX_LENGTH,
      rules: [
        ...filterRules,
        {
          rule: "!self.startsWith('$share/')",
          message: 'must not be a shared subscription: every message reaches the route once anyway',
        },
      ],
    }),
    s3: Type.Optional(s3),
    database: Type.Optional(database),
    rest: Type.Optional(rest),
    ifttt: Type.Optional(ifttt),
    nats: Type.Optional(nats),
    kafka: Type.Optional(kafka),
    mqtt: Type.Optional(mqtt),
    filter: Type.Optional(filter),
    transform: Type.Optional(transform),
    delivery,
    deadLetter,
  },
  {
    description: 'What to take and where to deliver it.',
    rules: [
      exactlyOneOf(ROUTE_SINKS),
      {
        rule: 'duration(self.delivery.backoff.initial) <= duration(self.delivery.backoff.maximum)',
        message: 'initial must not be longer than maximum',
        fieldPath: '.delivery.backoff.initial',
      },
    ],
  },
)
export type RouteSpec = Static<typeof RouteSpec>

const count = (description: string) =>
  Type.Optional(Whole({ description, minimum: 0, maximum: Number.MAX_SAFE_INTEGER }))

export const RouteStatus = Block(
  {
    ...statusBase,
    lag: count('Messages that wait for delivery.'),
    rate: count('Messages delivered a second, lately.'),
    delivered: count('Messages delivered since the route worker started.'),
    failed: count('Attempts that failed since the route worker started.'),
    deadLettered: count('Messages given up and kept as dead letters since the route worker started.'),
    dropped: count('Messages lost because the buffer was full.'),
    lastDeliveryTime: Type.Optional(Time({ description: 'When a message was last delivered.' })),
    lastError: Type.Optional(
      Block(
        {
          time: Time({ description: 'When it happened.' }),
          code: Text({ description: 'A stable word for programs.', maxLength: 128 }),
          message: Text({ description: 'The details, for people; no payload, no secret.', maxLength: 1024 }),
        },
        { description: 'The last failure.' },
      ),
    ),
  },
  { description: 'What was seen of the route; written by the operator.' },
)
export type RouteStatus = Static<typeof RouteStatus>
export type Route = Resource<'Route', RouteSpec, RouteStatus>

export const routeKind: KindDefinition = {
  kind: 'Route',
  plural: 'routes',
  singular: 'route',
  shortNames: ['rt', 'iotroute'],
  description: 'Takes messages of a hub to a destination: object storage, database, HTTP or message system.',
  spec: RouteSpec,
  status: RouteStatus,
  rules: [objectNameRule],
  columns: [
    { name: 'Hub', type: 'string', jsonPath: '.spec.hubRef.name', description: 'The hub of the route.' },
    { name: 'Topic', type: 'string', jsonPath: '.spec.topic', description: 'The messages taken.' },
    ...readyColumns,
    {
      name: 'Sink',
      type: 'string',
      jsonPath: '.status.conditions[?(@.type=="SinkReachable")].status',
      description: 'Whether the destination takes messages.',
    },
    { name: 'Lag', type: 'integer', jsonPath: '.status.lag', description: 'Messages that wait.' },
    {
      name: 'Rate',
      type: 'integer',
      jsonPath: '.status.rate',
      description: 'Messages delivered a second, lately.',
      priority: 1,
    },
    { name: 'Delivered', type: 'integer', jsonPath: '.status.delivered', description: 'Messages delivered.' },
    {
      name: 'Dead',
      type: 'integer',
      jsonPath: '.status.deadLettered',
      description: 'Messages given up.',
    },
    ...lastColumns,
    {
      name: 'Last Error',
      type: 'string',
      jsonPath: '.status.lastError.message',
      description: 'The last failure.',
      priority: 1,
    },
  ],
}

/** Conditions of a Route beside those that every kind has. */
export const ROUTE_CONDITIONS = {
  /** Whether the destination takes messages; Unknown while there was none to deliver. */
  SinkReachable: 'SinkReachable',
  /** Messages wait because deliveries fail, were given up lately, or are lost because the buffer is full. */
  Degraded: 'Degraded',
} as const

/** Reasons of a Route's conditions, beside `COMMON_REASONS`. */
export const ROUTE_REASONS = {
  /** `spec.enabled` is false: as asked for, nothing is taken. */
  Disabled: 'Disabled',
  /** There was nothing to deliver since the route worker started. */
  NothingDelivered: 'NothingDelivered',
  /** Deliveries fail; messages wait and are tried again. */
  DeliveryFailing: 'DeliveryFailing',
  /** The buffer is full and messages are dropped. */
  BufferFull: 'BufferFull',
  /** Messages were given up within the last minute: they are dead letters, or gone where none are kept. */
  MessagesGivenUp: 'MessagesGivenUp',
  /** The credentials of all routes of the hub are larger than one Secret may be. */
  CredentialsTooLarge: 'CredentialsTooLarge',
  /** `spec.filter` or `spec.transform` is no valid expression. */
  ExpressionInvalid: 'ExpressionInvalid',
  /** The destination is one that routes may not reach. */
  DestinationForbidden: 'DestinationForbidden',
} as const
