/**
 * The way back of a bridge: a session on the other broker, whose messages are published in the hub. A message is
 * acknowledged there once the hub has it, so nothing of QoS 1 is lost while either side, or this process, is away.
 */
import type { IPublishPacket, MqttClient } from 'mqtt'
import { matches, topicFault } from '../../../contract/topic.ts'
import type { RouteReply } from '../rest/reply.ts'
import { unavailable } from '../sink.ts'
import { type MqttTarget, type MqttTools, openMqttClient } from './mqtt-client.ts'
import { mqttConnectionFailure } from './mqtt-failure.ts'
import { mayPass, readTrail, TRAIL_PROPERTY } from './trail.ts'

/** How long the other broker keeps what comes while nobody is here. */
const SESSION_EXPIRY_S = 24 * 3600
/** Messages that come before the first of them is acknowledged. */
const RECEIVE_MAXIMUM = 32
/** That of a message of a hub, and room for topic and properties. */
const MAX_PACKET_BYTES = 4 * 1024 * 1024 + 64 * 1024
const RECONNECT_MS = 2_000
const RETRY_MS = { first: 500, longest: 30_000 }

export function subscribeRemote(target: MqttTarget, tools: MqttTools): { close(): Promise<void> } {
  const { routeId, publishReply } = tools
  const closing = new AbortController()
  const onInbound: MqttTools['onInbound'] = (failure) => {
    if (!closing.signal.aborted) tools.onInbound(failure)
  }
  const client = openMqttClient(target, tools.egress, {
    clientId: target.clientId,
    clean: false,
    reconnectPeriod: RECONNECT_MS,
    reconnectOnConnackError: true,
    properties: {
      sessionExpiryInterval: SESSION_EXPIRY_S,
      receiveMaximum: RECEIVE_MAXIMUM,
      maximumPacketSize: MAX_PACKET_BYTES,
    },
  })
  let last: Error | undefined
  client.on('error', (error) => {
    last = error
  })
  client.on('close', () => {
    const error = last ?? new Error('the connection that subscribes has ended')
    last = undefined
    onInbound(mqttConnectionFailure(error))
  })
  client.on('connect', () => void subscribe(client, target, onInbound))
  // One at a time, and acknowledged when the callback is called.
  client.handleMessage = (packet, callback) => {
    const reply = inboundMessage(packet as IPublishPacket, target, routeId)
    if (reply === undefined) callback()
    else void publish(reply).then((isTaken) => isTaken && callback())
  }

  /** Until the hub has it; false: closed before. */
  const publish = async (reply: RouteReply): Promise<boolean> => {
    for (let wait = RETRY_MS.first; !closing.signal.aborted; wait = Math.min(2 * wait, RETRY_MS.longest)) {
      try {
        await publishReply(reply)
        if (wait > RETRY_MS.first) onInbound(undefined)
        return true
      } catch {
        onInbound(unavailable({ code: 'INBOUND_NOT_PUBLISHED', message: 'the hub does not take messages' }))
        await pause(wait, closing.signal)
      }
    }
    return false
  }

  return {
    async close() {
      closing.abort()
      await client.endAsync(true)
    },
  }
}

async function subscribe(
  client: MqttClient,
  { subscribe: wanted, retain }: MqttTarget,
  onInbound: MqttTools['onInbound'],
): Promise<void> {
  try {
    // Retained messages come when the subscription is new, and not with every connection.
    for (const { topic, qos } of wanted)
      await client.subscribeAsync(topic, { qos: qos as 0 | 1, rap: retain, rh: 1 })
    onInbound(undefined)
  } catch (error) {
    const { message } = error as Error
    onInbound(unavailable({ code: 'SUBSCRIBE_REFUSED', message }))
  }
}

/** Undefined: it is none of this hub's business, or has been here before. */
export function inboundMessage(
  { topic, payload, qos, retain, properties }: IPublishPacket,
  target: Pick<MqttTarget, 'subscribe' | 'retain'>,
  routeId: string,
): RouteReply | undefined {
  // A session may still have subscriptions that the route had before.
  const wanted = target.subscribe.find((entry) => matches(entry.topic, topic))
  const trail = readTrail(properties?.userProperties?.[TRAIL_PROPERTY])
  if (wanted === undefined || !mayPass(trail, routeId)) return undefined
  const own = wanted.prefix === '' ? topic : `${wanted.prefix}/${topic}`
  if (own.startsWith('$') || topicFault(own) !== undefined) return undefined
  const { contentType } = properties ?? {}
  return {
    topic: own,
    payload: Buffer.from(payload),
    qos: Math.min(qos, 1) as 0 | 1,
    retain: retain && target.retain,
    trail: [...trail, routeId],
    ...(contentType === undefined ? {} : { contentType }),
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(done, ms)
    function done() {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    signal.addEventListener('abort', done, { once: true })
  })
}
