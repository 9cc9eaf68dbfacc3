/** `kafka`: one record of a Kafka topic a message, acknowledged by the brokers (docs/spec/route.md). */
import { isIP } from 'node:net'
import type {
  CompressionAlgorithmValue,
  MessageToProduce,
  Producer,
  ProducerOptions,
  SASLMechanismValue,
} from '@platformatic/kafka'
import type { RouteEntry } from '../../../contract/route-stream.ts'
import type { RouteSpec } from '../../../crds/route.ts'
import type { Egress } from '../../net/egress.ts'
import { originHeaders } from '../origin-headers.ts'
import { serverAddress } from '../server-address.ts'
import { beforeAbort, shareConnection } from '../shared-connection.ts'
import { DELIVERED, permanent, type Sink, type SinkFailure, type SinkResult, transient } from '../sink.ts'
import { type SinkTls, sinkTls } from '../sink-tls.ts'
import { guardPool } from './guarded-pool.ts'
import { kafkaFailure } from './kafka-failure.ts'
import { isPerTopic, kafkaTopicOf } from './kafka-topic.ts'
import { recordKey } from './record-key.ts'

type Spec = Pick<NonNullable<RouteSpec['kafka']>, 'brokers' | 'topic' | 'key' | 'acks' | 'compression'>

/** `spec.kafka` with its secret values. */
export interface KafkaTarget extends Spec {
  sasl: { mechanism: SASLMechanismValue; username: string; password: string } | undefined
  tls: SinkTls
}

const DEFAULT_PORT = 9092
const CONNECT_TIMEOUT_MS = 10_000
/** How long the leader may wait for the replicas. */
const REPLICATION_TIMEOUT_MS = 10_000
/** A broker that has not answered for so long is left; it asks for a new connection. */
const ANSWER_TIMEOUT_MS = 30_000
/** Brokers take batches of 1 MiB unless told otherwise; room is left for keys and headers. */
const BATCH = { maxMessages: 500, maxBytes: 512 * 1024, lingerMs: 0 }
/** Each is a request with many records; the client has five on the way at most. */
const PARALLEL = 4

type Client = Producer<Buffer, Buffer, Buffer, Buffer>
type Message = MessageToProduce<Buffer, Buffer, Buffer, Buffer>

export function createKafkaSink(target: KafkaTarget, egress: Egress): Sink {
  const connection = shareConnection<Client>({
    open: async () => await openClient(target, egress),
    end: async (client) => await client.close(true),
  })

  const send = async (messages: Message[], signal: AbortSignal): Promise<SinkResult> => {
    let client: Client | undefined
    try {
      client = await connection.get(signal)
      await beforeAbort(client.send({ messages, acks: ACKS[target.acks] }), signal)
      return DELIVERED
    } catch (error) {
      // Whatever state it is in, the next one starts anew: with a fresh look at names and at the cluster.
      if (client !== undefined) connection.drop(client)
      if (signal.aborted) return transient({ code: 'TIMEOUT', message: 'no answer of the broker in time' })
      return kafkaFailure(error, isPerTopic(target.topic))
    }
  }

  return {
    parallel: PARALLEL,
    batch: BATCH,
    async deliver(entry, signal) {
      const message = messageOf(entry, target)
      return 'ok' in message ? message : await send([message], signal)
    },
    async deliverMany(entries, signal) {
      const messages: Message[] = []
      for (const entry of entries) {
        const message = messageOf(entry, target)
        if ('ok' in message) return message
        messages.push(message)
      }
      return await send(messages, signal)
    },
    close: () => connection.close(),
  }
}

/** Of the protocol: all in-sync replicas, the leader. */
const ACKS = { All: -1, Leader: 1 }

const COMPRESSION: Record<Spec['compression'], CompressionAlgorithmValue> = {
  None: 'none',
  Gzip: 'gzip',
  Snappy: 'snappy',
  LZ4: 'lz4',
  Zstd: 'zstd',
}

async function openClient({ brokers, compression, sasl, tls }: KafkaTarget, egress: Egress): Promise<Client> {
  // Costs more than a second of CPU, which nobody who has no Kafka should pay.
  const { Producer } = await import('@platformatic/kafka')
  const secure = sinkTls(tls)
  const addresses = brokers.map((broker) => serverAddress(broker, DEFAULT_PORT))
  const options: ProducerOptions<Buffer, Buffer, Buffer, Buffer> = {
    clientId: 'hublet',
    bootstrapBrokers: addresses,
    compression: COMPRESSION[compression],
    // Topics are made on purpose: a device must not make them by what it publishes to.
    autocreateTopics: false,
    connectTimeout: CONNECT_TIMEOUT_MS,
    timeout: REPLICATION_TIMEOUT_MS,
    requestTimeout: ANSWER_TIMEOUT_MS,
    // The route decides about retries.
    retries: 0,
    repeatOnStaleMetadata: false,
    ...(sasl === undefined ? {} : { sasl }),
    ...(secure === undefined
      ? {}
      : {
          tls: { ...secure, lookup: egress.lookup },
          tlsServerName: !addresses.some(({ host }) => isIP(host)),
        }),
  }
  const client = new Producer<Buffer, Buffer, Buffer, Buffer>(options)
  guardPool(client.connections, egress, secure !== undefined)
  return client
}

function messageOf(entry: RouteEntry, { topic: pattern, key }: Spec): Message | SinkFailure {
  const topic = kafkaTopicOf(pattern, entry.topic)
  if ('fault' in topic) return permanent({ code: 'KAFKA_TOPIC_INVALID', message: topic.fault })
  const all = { ...originHeaders(entry), 'Mqtt-Id': entry.id }
  const headers = Object.entries(all).map(([name, value]) => [Buffer.from(name), Buffer.from(value)] as const)
  const text = recordKey(key, entry)
  return {
    topic: topic.name,
    value: entry.payload,
    timestamp: BigInt(entry.time),
    headers: new Map(headers),
    ...(text === undefined ? {} : { key: Buffer.from(text) }),
  }
}
