/** `mqtt`: a bridge to another MQTT broker, which acknowledges each message (docs/spec/route.md). */
import { randomBytes } from 'node:crypto'
import type { IClientPublishOptions } from 'mqtt'
import type { RouteEntry } from '../../../contract/route-stream.ts'
import { topicFault } from '../../../contract/topic.ts'
import { originHeaders } from '../origin-headers.ts'
import { beforeAbort, shareConnection } from '../shared-connection.ts'
import { DELIVERED, permanent, type Sink, type SinkFailure, transient } from '../sink.ts'
import { type MqttTarget, type MqttTools, openMqttClient } from './mqtt-client.ts'
import { mqttConnectionFailure, publishFailure } from './mqtt-failure.ts'
import { type MqttLimits, type MqttPublisher, mqttPublisher } from './mqtt-publisher.ts'
import { subscribeRemote } from './mqtt-subscriber.ts'
import { hasTopic, remoteTopic } from './remote-topic.ts'
import { TRAIL_PROPERTY, trailText } from './trail.ts'

/** Of a PUBLISH, beside topic, payload and properties. */
const PACKET_OVERHEAD = 64

/** Connects at once when there is something to subscribe to, otherwise with the first message. */
export function createMqttSink(target: MqttTarget, tools: MqttTools): Sink {
  const isPerTopic = hasTopic(target.topic)
  const connection = shareConnection<MqttPublisher>({
    async open(closing) {
      const clientId = `${target.clientId}-${randomBytes(4).toString('hex')}`
      const client = openMqttClient(target, tools.egress, { clientId, clean: true, reconnectPeriod: 0 })
      return await mqttPublisher(client, closing)
    },
    end: async (publisher) => await publisher.end(),
  })
  const subscriber =
    tools.subscribes && target.subscribe.length > 0 ? subscribeRemote(target, tools) : undefined

  const failureOf = (
    error: unknown,
    signal: AbortSignal,
    publisher: MqttPublisher | undefined,
  ): SinkFailure => {
    // After a time-out too: nobody may be there any more, and what is under way would take up its room for ever.
    if (publisher !== undefined && (publisher.isClosed || signal.aborted)) connection.drop(publisher)
    if (signal.aborted) return transient({ code: 'TIMEOUT', message: 'no answer of the broker in time' })
    return publisher?.isClosed === false ? publishFailure(error, isPerTopic) : mqttConnectionFailure(error)
  }

  return {
    async deliver(entry, signal) {
      const topic = remoteTopic(target.topic, entry.topic)
      const fault = topicFault(topic)
      if (fault !== undefined) return permanent({ code: 'MQTT_TOPIC_INVALID', message: `the topic ${fault}` })
      let publisher: MqttPublisher | undefined
      try {
        publisher = await connection.get(signal)
        const options = publishOptions(entry, target, { limits: publisher.limits, routeId: tools.routeId })
        const tooLarge = sizeFault(topic, entry.payload, { options, most: publisher.limits.maxPacket })
        if (tooLarge !== undefined) return tooLarge
        await beforeAbort(publisher.publish(topic, entry.payload, options), signal)
        return DELIVERED
      } catch (error) {
        return failureOf(error, signal, publisher)
      }
    },
    async close() {
      await Promise.all([connection.close(), subscriber?.close()])
    },
  }
}

function publishOptions(
  entry: RouteEntry,
  { qos, retain, version }: MqttTarget,
  { limits, routeId }: { limits: MqttLimits; routeId: string },
): IClientPublishOptions {
  const options: IClientPublishOptions = {
    qos: Math.min(qos, limits.maxQos) as 0 | 1,
    retain: entry.retain && retain && limits.takesRetained,
  }
  if (version !== 'MQTT5') return options
  const { 'Mqtt-Topic': _topic, 'Content-Type': contentType, ...origin } = originHeaders(entry)
  const trail = trailText([...(entry.trail ?? []), routeId])
  return {
    ...options,
    properties: {
      ...(contentType === undefined ? {} : { contentType }),
      userProperties: { ...origin, 'Mqtt-Id': entry.id, [TRAIL_PROPERTY]: trail },
    },
  }
}

function sizeFault(
  topic: string,
  payload: Buffer,
  { options, most }: { options: IClientPublishOptions; most: number },
): SinkFailure | undefined {
  const properties = Buffer.byteLength(JSON.stringify(options.properties ?? {}))
  const size = Buffer.byteLength(topic) + payload.length + properties + PACKET_OVERHEAD
  if (size <= most) return undefined
  return permanent({
    code: 'MESSAGE_TOO_LARGE',
    message: `the broker takes packets of at most ${most} bytes`,
  })
}
