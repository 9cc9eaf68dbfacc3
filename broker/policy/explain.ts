import type { EventCode } from '../../contract/hub-event.ts'
import type { DeviceRecord, FilterRule, HubRecord, NetworkRecord } from '../../contract/hub-state.ts'
import {
  covers,
  filterFault,
  isShared,
  matches,
  parseSharedFilter,
  topicFault,
} from '../../contract/topic.ts'
import { compilePublishRule, compileSubscribeRule, isReservedTopic } from './filters.ts'
import type { ListenerName } from './link.ts'
import { judgeNetworkRequest } from './network-request.ts'
import { judgeSecurity, SECURITY_MATRIX } from './security.ts'
import { judgePublish, judgeSubscribe, type QoS } from './service-level.ts'
import { tokenLoginFault } from './service-token.ts'

/**
 * Why a device may or may not do something, for people. The verdict comes from the functions that the broker
 * asks, never from here; only the words are made here.
 */
export interface Explanation {
  allowed: boolean
  /** Of the refusal, as its event would carry it. */
  code?: EventCode
  because: string
}

export interface Party {
  hub: HubRecord
  device: DeviceRecord
}

export function explainPublish(
  party: Party,
  publish: { topic: string; qos: QoS; retain: boolean },
): Explanation {
  const { hub, device } = party
  const { topic } = publish
  const closed = standing(party)
  if (closed !== undefined) return closed
  const fault = topicFault(topic)
  if (fault !== undefined) return no('INVALID_TOPIC', `the topic is not valid: ${fault}`)
  const level = judgePublish(hub, { ...publish, payloadBytes: 0 })
  if (!level.allowed) return no(level.code, levelText(level.code, level.detail))
  const { topicPrefix } = hub.events
  const rule = device.filters.publish
  if (compilePublishRule(rule, topicPrefix).allowsPublish(topic)) {
    return yes(
      ruleText(
        'publish',
        rule,
        entryFor(rule, (entry) => matches(entry, topic)),
      ),
    )
  }
  if (isReservedTopic(topic, topicPrefix)) {
    return no(
      'UNAUTHORIZED_TOPIC',
      'topics that start with $ and those of the events are written by the hub only',
    )
  }
  return no(
    'UNAUTHORIZED_TOPIC',
    refusalText(
      device,
      'publish',
      entryFor(rule, (entry) => matches(entry, topic)),
    ),
  )
}

export function explainSubscribe(party: Party, subscribe: { filter: string; qos: QoS }): Explanation {
  const { hub, device } = party
  const { filter, qos } = subscribe
  const closed = standing(party)
  if (closed !== undefined) return closed
  const fault = filterFault(filter)
  if (fault !== undefined) return no('INVALID_TOPIC', `the topic filter is not valid: ${fault}`)
  const level = judgeSubscribe(hub, qos, 4)
  if (!level.allowed) return no(level.code, levelText(level.code, level.detail))
  const rule = device.filters.subscribe
  const inner = isShared(filter) ? (parseSharedFilter(filter)?.filter ?? filter) : filter
  const entry = entryFor(rule, (listed) => covers(listed, inner))
  if (compileSubscribeRule(rule).allowsSubscribe(filter)) return yes(ruleText('subscribe', rule, entry))
  if (inner.startsWith('$') && entry === undefined) {
    return no('UNAUTHORIZED_TOPIC', 'topics that start with $ need an Accept entry that starts with $ itself')
  }
  return no('UNAUTHORIZED_TOPIC', refusalText(device, 'subscribe', entry))
}

/** What a client shows: its certificate, valid and its own; its id; or a token of its ServiceAccount, right in all. */
export type Login = 'Certificate' | 'Id' | 'ServiceToken'

/** Whether a client may connect by what it shows. */
export function explainConnect(
  party: Party,
  { listener, by }: { listener: ListenerName; by: Login },
): Explanation {
  const { hub, device } = party
  if (!hub.enabled) return no('HUB_DISABLED', 'the hub is disabled')
  const encrypted = listener === 'mqtts' || listener === 'wss'
  if (by === 'ServiceToken') return explainToken(party, listener, encrypted)
  const shows = by === 'Certificate'
  if (shows && !encrypted) {
    return no('MTLS_REQUIRED', `${listener} is not encrypted: a certificate cannot be shown there`)
  }
  if (shows && device.certificate.source === 'None') {
    return no('INVALID_DEVICE_CERTIFICATE', 'the device has no certificate')
  }
  const facts = {
    encrypted,
    certificate: shows ? 'Valid' : 'None',
    device: device.revoked ? 'Revoked' : device.enabled ? 'Enabled' : 'Disabled',
    allowInsecure: device.allowInsecure,
  } as const
  const result = judgeSecurity(facts)
  const row = Object.entries(SECURITY_MATRIX).find(([, { when }]) =>
    Object.entries(when).every(([key, value]) => facts[key as keyof typeof facts] === value),
  )
  const because = row?.[0] ?? 'no rule allows it'
  if (result !== 'Accepted') return no(result, because)
  const asksPassword = !shows && device.passwordVerifier !== undefined
  return yes(asksPassword ? `${because}; its password is asked for` : because)
}

function explainToken(party: Party, listener: ListenerName, encrypted: boolean): Explanation {
  const { hub, device } = party
  const { serviceAccount } = device
  const refused = 'SERVICE_TOKEN_REFUSED'
  if (serviceAccount === undefined) return no(refused, 'the device names no ServiceAccount')
  if (hub.tokenIssuer === undefined) return no(refused, 'no keys are known by which tokens could be verified')
  const fault = tokenLoginFault(hub, device, { encrypted })
  if (fault === undefined) {
    const { audience } = hub.tokenIssuer
    return yes(`a token of ServiceAccount ${hub.namespace}/${serviceAccount} for ${audience} is its password`)
  }
  if (fault.code === refused) return no(refused, `${listener} is not encrypted: a token could be read there`)
  return standing(party) ?? no(fault.code, fault.detail ?? '')
}

/** Whether whoever has the token of a REST or Sigfox network may publish. Filters of devices play no part. */
export function explainNetworkPublish(
  { hub, network }: { hub: HubRecord; network: Pick<NetworkRecord, 'topicPrefix'> },
  { topic, qos, retain }: { topic: string; qos: QoS; retain: boolean },
): Explanation {
  if (!hub.enabled) return no('HUB_DISABLED', 'the hub is disabled')
  const headers = { topic: [Buffer.from(topic).toString('latin1')], qos: [`${qos}`], retain: [`${retain}`] }
  const asked = judgeNetworkRequest(headers, network, hub)
  if (!asked.allowed) return no(asked.code, asked.detail ?? 'the request is not valid')
  const level = judgePublish(hub, { ...asked.value, payloadBytes: 0 })
  if (!level.allowed) return no(level.code, levelText(level.code, level.detail))
  return yes(`whoever has its token may publish; the message arrives on ${asked.value.topic}`)
}

const yes = (because: string): Explanation => ({ allowed: true, because })
const no = (code: EventCode, because: string): Explanation => ({ allowed: false, code, because })

function standing({ hub, device }: Party): Explanation | undefined {
  if (!hub.enabled) return no('HUB_DISABLED', 'the hub is disabled')
  if (device.revoked) return no('DEVICE_REVOKED', 'the device is revoked')
  if (!device.enabled) return no('DEVICE_DISABLED', 'the device is disabled, or not approved yet')
  return undefined
}

function levelText(code: EventCode, detail: string | undefined): string {
  if (code === 'RETAINED_FORBIDDEN') return 'the hub forbids retained messages (spec.messaging.retained)'
  return `the hub does not allow QoS ${detail ?? ''} (spec.messaging.maxQoS)`
}

type Direction = 'publish' | 'subscribe'

const entryFor = (rule: FilterRule, fits: (entry: string) => boolean): string | undefined =>
  rule.topics.find((entry) => filterFault(entry) === undefined && !isShared(entry) && fits(entry))

/** Why an allowed topic is allowed. */
function ruleText(direction: Direction, { policy, topics }: FilterRule, entry: string | undefined): string {
  if (policy === 'Accept') return `the ${direction} filter accepts ${entry ?? 'it'}`
  if (topics.length === 0) return `the ${direction} filter rejects nothing`
  return `the ${direction} filter rejects only ${topics.join(', ')}`
}

function refusalText(device: DeviceRecord, direction: Direction, entry: string | undefined): string {
  const { policy, topics } = device.filters[direction]
  const broken = device.templateErrors.filter((text) => text.startsWith(direction))
  if (broken.length > 0)
    return `the ${direction} filter is closed, because a template is wrong: ${broken.join('; ')}`
  if (policy === 'Reject') return `the ${direction} filter rejects ${entry ?? topics.join(', ')}`
  return topics.length === 0
    ? `the ${direction} filter accepts nothing`
    : `the ${direction} filter accepts only ${topics.join(', ')}`
}
