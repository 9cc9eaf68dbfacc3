import { Block, Choice, Whole } from './fields.ts'

const KiB = 1024
const MiB = 1024 * KiB
const GiB = 1024 * MiB

/** Every bound of a hub, one to one `HubLimits` of the contract. Each text says what happens beyond the bound. */
export const hubLimits = Block(
  {
    payloadBytes: Whole({
      default: 4 * MiB,
      minimum: 1,
      // The largest MQTT packet has 256 MiB; a quarter of it leaves a broker room to hold several.
      maximum: 64 * MiB,
      description: 'Bytes of a payload. A larger message is refused and its connection closed.',
    }),
    devices: Whole({
      default: 10_000,
      minimum: 1,
      maximum: 1_000_000,
      description:
        'Devices of the hub. The newest ones beyond it are left out and report DeviceLimitReached.',
    }),
    connections: Whole({
      default: 10_000,
      minimum: 1,
      maximum: 1_000_000,
      description: 'Open connections. A further one is refused.',
    }),
    pendingConnections: Whole({
      default: 1_000,
      minimum: 1,
      maximum: 100_000,
      description: 'Sockets that have not yet said CONNECT. The one that has waited longest is dropped.',
    }),
    connectsPerSecond: Whole({
      default: 500,
      minimum: 0,
      maximum: 1_000_000,
      description: 'New connections a second. Further ones are refused. 0: no bound.',
    }),
    messagesPerSecond: Whole({
      default: 0,
      minimum: 0,
      maximum: 1_000_000,
      description: 'Messages a second from one device. Above it the hub reads more slowly. 0: no bound.',
    }),
    queue: Block(
      {
        messages: Whole({
          default: 1_000,
          minimum: 1,
          maximum: 1_000_000,
          description: 'Messages that wait for one session.',
        }),
        bytes: Whole({
          default: 16 * MiB,
          minimum: KiB,
          maximum: GiB,
          description: 'Bytes that wait for one session, its socket included. A slower reader is cut off.',
        }),
        overflow: Choice(['DropOldest', 'DropNewest'], {
          default: 'DropOldest',
          description:
            'Which message goes when the queue is full. Every one is counted and an event is raised.',
        }),
      },
      { default: {}, description: 'What waits for one session that is offline or slow.' },
    ),
    inflight: Whole({
      default: 100,
      minimum: 1,
      maximum: 65_535,
      description: 'Messages of QoS 1 and 2 sent to one session and not yet acknowledged. Further ones wait.',
    }),
    sessionsPerDevice: Whole({
      default: 10,
      minimum: 1,
      maximum: 10_000,
      description: 'Stored sessions of one device. The one that was offline longest makes room.',
    }),
    subscriptionsPerSession: Whole({
      default: 100,
      minimum: 1,
      maximum: 100_000,
      description: 'Subscriptions of one session. A further one is refused.',
    }),
    retainedMessages: Whole({
      default: 100_000,
      minimum: 0,
      maximum: 10_000_000,
      description: 'Retained messages of the hub. A further one is delivered but not retained.',
    }),
    retainedBytes: Whole({
      default: 140 * MiB,
      minimum: 0,
      maximum: 64 * GiB,
      description: 'Bytes of all retained messages. A message beyond it is delivered but not retained.',
    }),
    eventsPerSecond: Whole({
      default: 100,
      minimum: 1,
      maximum: 10_000,
      description: 'Events a second on the events topic. Further ones are counted and summed up in one.',
    }),
  },
  { default: {}, description: 'Bounds that keep one client, or all of them, from exhausting the hub.' },
)
