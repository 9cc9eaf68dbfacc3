/** `s3`: one object a message, or many messages as the lines of one object (spec §4.2). */
import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { PutObjectCommand, S3Client, type S3ClientConfig } from '@aws-sdk/client-s3'
import type { RouteEntry } from '../../../contract/route-stream.ts'
import type { RouteSpec } from '../../../crds/route.ts'
import type { Egress } from '../../net/egress.ts'
import { connectionFailure } from '../connection-failure.ts'
import {
  type BatchBounds,
  DELIVERED,
  permanent,
  type Sink,
  type SinkFailure,
  type SinkResult,
  transient,
} from '../sink.ts'
import { batchLine } from './batch-line.ts'
import { boundAnswers } from './bounded-answer.ts'
import { batchKey, digitsOf, messageKey, type ObjectKey, topicKey } from './object-key.ts'
import { s3Failure } from './s3-failure.ts'

type Spec = Pick<NonNullable<RouteSpec['s3']>, 'region' | 'bucket' | 'prefix' | 'strategy' | 'forcePathStyle'>

/** `spec.s3` with its secret values. */
export interface S3Target extends Spec {
  /** Undefined: AWS, by region. */
  endpoint: string | undefined
  /** Undefined: requests are not signed. */
  credentials: { accessKeyId: string; secretAccessKey: string; sessionToken?: string } | undefined
  /** PEM; the system's certificates when left out. */
  ca: string | undefined
  /** Of the strategy Batched. */
  batch: BatchBounds
  connections: number
}

interface S3Object {
  key: ObjectKey
  body: Buffer
  type: string
  encoding?: string
  metadata: Record<string, string>
}

const compress = promisify(gzip)
/** Objects on the way at a time; each has many messages, and all of them are in memory. */
const PARALLEL_BATCHES = 4
/** PerMessage keys given lately, to tell apart what falls on the same one. */
const MAX_RECENT_KEYS = 10_000

export function createS3Sink(target: S3Target, egress: Egress): Sink {
  const client = new S3Client(clientConfig(target, egress))
  boundAnswers(client)
  const recent = new Map<string, string>()

  const put = async ({ key, ...object }: S3Object, signal: AbortSignal): Promise<SinkResult> => {
    if ('fault' in key) return permanent({ code: 'KEY_INVALID', message: key.fault })
    const command = new PutObjectCommand({
      Bucket: target.bucket,
      Key: key.key,
      Body: object.body,
      ContentLength: object.body.length,
      ContentType: object.type,
      Metadata: object.metadata,
      ...(object.encoding === undefined ? {} : { ContentEncoding: object.encoding }),
    })
    try {
      await client.send(command, { abortSignal: signal })
      return DELIVERED
    } catch (error) {
      if (signal.aborted)
        return transient({ code: 'TIMEOUT', message: 'no answer of the S3 service in time' })
      return failureOf(error, target.bucket)
    }
  }

  const deliverMany = async (entries: readonly RouteEntry[], signal: AbortSignal): Promise<SinkResult> => {
    const body = await compress(Buffer.concat(entries.map(batchLine)))
    const metadata = { 'mqtt-messages': String(entries.length) }
    const type = 'application/x-ndjson'
    return await put(
      { key: batchKey(target.prefix, entries), body, type, encoding: 'gzip', metadata },
      signal,
    )
  }

  const deliverOne = async (entry: RouteEntry, signal: AbortSignal): Promise<SinkResult> => {
    const { topic, payload, contentType = 'application/octet-stream' } = entry
    const isPerTopic = target.strategy === 'PerTopic'
    const key = isPerTopic ? topicKey(target.prefix, topic) : uniqueMessageKey(target.prefix, entry, recent)
    return await put(
      { key, body: payload, type: headerText(contentType), metadata: metadataOf(entry) },
      signal,
    )
  }

  const close = async () => client.destroy()
  if (target.strategy !== 'Batched') return { deliver: deliverOne, close }
  return {
    parallel: PARALLEL_BATCHES,
    batch: target.batch,
    deliver: (entry, signal) => deliverMany([entry], signal),
    deliverMany,
    close,
  }
}

/** Two messages of a topic in one millisecond may get the same six digits: the second takes the next free ones. */
function uniqueMessageKey(prefix: string, entry: RouteEntry, recent: Map<string, string>): ObjectKey {
  for (let digits = digitsOf(entry.id); ; digits = (digits + 1) % 1_000_000) {
    const made = messageKey(prefix, entry, digits)
    if ('fault' in made) return made
    const taken = recent.get(made.key)
    if (taken !== undefined && taken !== entry.id) continue
    recent.set(made.key, entry.id)
    const [oldest] = recent.keys()
    if (recent.size > MAX_RECENT_KEYS && oldest !== undefined) recent.delete(oldest)
    return made
  }
}

function metadataOf({ id, time, qos, retain, deviceId }: RouteEntry): Record<string, string> {
  return {
    'mqtt-id': id,
    'mqtt-time': new Date(time).toISOString(),
    'mqtt-qos': String(qos),
    'mqtt-retain': String(retain),
    ...(deviceId === undefined ? {} : { 'mqtt-device': deviceId }),
  }
}

/** A content type comes from the device: what no header may hold is left out. */
const headerText = (text: string) =>
  text.replace(/[^\t\x20-\x7e]/g, '').slice(0, 256) || 'application/octet-stream'

function clientConfig(target: S3Target, egress: Egress): S3ClientConfig {
  const { endpoint, region, forcePathStyle, credentials, ca, connections } = target
  const agent = {
    keepAlive: true,
    maxSockets: connections,
    lookup: egress.lookup,
    ...(ca === undefined ? {} : { ca }),
  }
  return {
    region,
    forcePathStyle,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials === undefined ? ANONYMOUS : { credentials }),
    // The route has its own retries, which know about order and dead letters.
    maxAttempts: 1,
    // Newer checksums are unknown to many S3-compatible services.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // What the SDK would read from the environment or a profile of whoever runs this must not get in.
    useDualstackEndpoint: false,
    useFipsEndpoint: false,
    requestHandler: {
      httpAgent: guarded(new HttpAgent(agent), egress),
      httpsAgent: guarded(new HttpsAgent(agent), egress),
      connectionTimeout: 10_000,
    },
  }
}

const ANONYMOUS: S3ClientConfig = {
  credentials: { accessKeyId: '', secretAccessKey: '' },
  signer: { sign: async (request) => request },
}

/** A literal address in the endpoint is never looked up, so it is checked where the connection is made. */
function guarded<T extends HttpAgent>(agent: T, egress: Egress): T {
  const connect = agent.createConnection.bind(agent)
  agent.createConnection = (options, callback) => {
    egress.checkHost(options.host ?? '')
    return connect(options, callback)
  }
  return agent
}

function failureOf(error: unknown, bucket: string): SinkFailure {
  const { name, $metadata: { httpStatusCode, requestId } = {} } = error as {
    name: string
    $metadata?: { httpStatusCode?: number; requestId?: string }
  }
  if (httpStatusCode !== undefined)
    return s3Failure({ bucket, status: httpStatusCode, code: name, requestId })
  return (
    connectionFailure(error) ??
    transient({ code: 'S3_WRITE_FAILED', message: `writing to bucket ${bucket} failed` })
  )
}
