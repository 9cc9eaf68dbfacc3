/** One connection that publishes: no session, nothing queued, every promise settles when it ends. */
import type { IClientPublishOptions, IConnackPacket, MqttClient } from 'mqtt'
import { ErrorWithReasonCode } from 'mqtt'
import { InFlight } from './in-flight.ts'

/** What the broker said that it takes, MQTT 5 §3.2.2.3. */
export interface MqttLimits {
  /** Bytes. */
  maxPacket: number
  maxQos: number
  takesRetained: boolean
}

export interface MqttPublisher {
  readonly limits: MqttLimits
  readonly isClosed: boolean
  /** Resolves once it is acknowledged, or sent at QoS 0. */
  publish(topic: string, payload: Buffer, options: IClientPublishOptions): Promise<void>
  /** Gives up everything that is under way. */
  end(): Promise<void>
}

const MOST_IN_FLIGHT = 65_535

/** Ends `client` when it does not come to a connection. */
export async function mqttPublisher(client: MqttClient, closing: AbortSignal): Promise<MqttPublisher> {
  let last: Error = new Error('the connection was closed')
  // Without a listener an error would end the process.
  client.on('error', (error) => {
    last = error
  })
  client.on('disconnect', ({ reasonCode = 0 }) => {
    last = new ErrorWithReasonCode('the broker ended the connection', reasonCode)
  })
  let isClosed = false
  const closed = new Promise<never>((_, reject) => {
    client.once('close', () => {
      isClosed = true
      reject(last)
    })
  })
  closed.catch(() => {})
  const onClosing = () => client.end(true)
  closing.addEventListener('abort', onClosing, { once: true })
  try {
    const connected = new Promise<IConnackPacket>((resolve) => client.once('connect', resolve))
    const { properties = {} } = await Promise.race([connected, closed])
    const room = new InFlight(properties.receiveMaximum ?? MOST_IN_FLIGHT)
    return {
      limits: {
        maxPacket: properties.maximumPacketSize ?? Number.POSITIVE_INFINITY,
        maxQos: properties.maximumQoS ?? 2,
        takesRetained: properties.retainAvailable !== false,
      },
      get isClosed() {
        return isClosed
      },
      async publish(topic, payload, options) {
        await Promise.race([room.enter(), closed])
        const acknowledged = client.publishAsync(topic, payload, options)
        acknowledged.catch(() => {})
        try {
          await Promise.race([acknowledged, closed])
        } finally {
          room.leave()
        }
      },
      end: async () => await client.endAsync(true),
    }
  } catch (error) {
    client.end(true)
    throw error
  } finally {
    closing.removeEventListener('abort', onClosing)
  }
}
