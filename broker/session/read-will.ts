import type { ConnectPacket } from 'aedes'
import type { HubRecord } from '../../contract/hub-state.ts'
import { topicFault } from '../../contract/topic.ts'
import { judgePublish } from '../policy/service-level.ts'
import { deny, type Verdict } from '../policy/verdict.ts'
import type { MessageProperties } from '../store/store.ts'
import type { GivenWill } from './wills.ts'

interface WillProperties {
  willDelayInterval?: number
  messageExpiryInterval?: number
  payloadFormatIndicator?: boolean
  contentType?: string
  responseTopic?: string
  correlationData?: Buffer
  userProperties?: Readonly<Record<string, string | string[]>>
}

/** The will of a CONNECT, judged like a PUBLISH now and once more when it fires. `undefined`: there is none. */
export function readWill(
  packet: ConnectPacket,
  hub: HubRecord,
  allowsPublish: (topic: string) => boolean,
): Verdict<GivenWill | undefined> {
  const { will } = packet
  if (will === undefined) return { allowed: true, value: undefined }
  const fault = topicFault(will.topic)
  if (fault !== undefined) return deny(will.topic === '' ? 'EMPTY_TOPIC' : 'INVALID_TOPIC', `will: ${fault}`)
  const payload = Buffer.from(will.payload)
  const { qos = 0, retain = false } = will as { qos?: 0 | 1 | 2; retain?: boolean }
  const level = judgePublish(hub, { qos, retain, payloadBytes: payload.length })
  if (!level.allowed) return level
  if (!allowsPublish(will.topic)) return deny('UNAUTHORIZED_TOPIC', will.topic.slice(0, 200))
  const properties = (will as { properties?: WillProperties }).properties ?? {}
  const travelling = travellingProperties(properties)
  return {
    allowed: true,
    value: {
      message: {
        topic: will.topic,
        payload,
        qos,
        retain,
        ...(travelling === undefined ? {} : { properties: travelling }),
      },
      delaySeconds: properties.willDelayInterval ?? 0,
      expirySeconds: properties.messageExpiryInterval,
    },
  }
}

/** The codec groups user properties by name, so their order across names is lost; for a will that is all there is. */
function travellingProperties(properties: WillProperties): MessageProperties | undefined {
  const { willDelayInterval, messageExpiryInterval, userProperties, ...rest } = properties
  const pairs = Object.entries(userProperties ?? {}).flatMap(([name, values]) =>
    [values].flat().map((value) => [name, value] as const),
  )
  const travelling: MessageProperties = { ...rest, ...(pairs.length === 0 ? {} : { userProperties: pairs }) }
  return Object.keys(travelling).length === 0 ? undefined : travelling
}
