import type { HubLimits, HubRecord } from '../../contract/hub-state.ts'
import type { Hub } from '../../crds/hub.ts'
import { parseDuration } from './duration.ts'
import type { HubFacts } from './facts.ts'

/** A namespace left out is this one, as it is to kubectl. */
export const DEFAULT_NAMESPACE = 'default'

/** Throws a RangeError on a duration that validation would have refused. */
export function hubRecord(
  hub: Hub,
  uid: string,
  { deviceCACertificates, revocationLists = [] }: Pick<HubFacts, 'deviceCACertificates' | 'revocationLists'>,
): HubRecord {
  const { spec, metadata } = hub
  return {
    uid,
    name: metadata.name,
    namespace: metadata.namespace ?? DEFAULT_NAMESPACE,
    enabled: spec.enabled,
    events: { enabled: spec.events.enabled, topicPrefix: spec.events.topicPrefix },
    limits: hubLimits(spec.limits),
    messaging: {
      retained: spec.messaging.retained,
      maxQoS: spec.messaging.maxQoS,
      persistentSessions: spec.messaging.persistentSessions,
      sessionExpirySeconds: seconds('spec.messaging.sessionExpiry', spec.messaging.sessionExpiry),
    },
    ...autoProvisioning(hub),
    ...(spec.proxyProtocol === undefined ? {} : { trustedProxies: spec.proxyProtocol.trustedRanges }),
    deviceTrust: {
      mode: trustMode(hub),
      caCertificates: [...deviceCACertificates],
      ...(revocationLists.length === 0 ? {} : { revocationLists: [...revocationLists] }),
    },
  }
}

/** Only a CA of the user's own can vouch for devices that nobody has declared (spec §1.7). */
function autoProvisioning(hub: Hub): Pick<HubRecord, 'autoProvisioning'> {
  const { enabled, perSecond } = hub.spec.autoProvisioning
  return enabled && trustMode(hub) === 'HubCA' ? { autoProvisioning: { perSecond } } : {}
}

/**
 * With a CA of the user's own, chain and common name count: certificates may come from elsewhere. The managed
 * CA signs nothing but what the operator issues, so there the fingerprint counts.
 */
export function trustMode(hub: Hub): HubRecord['deviceTrust']['mode'] {
  return hub.spec.deviceCA.managed === undefined ? 'HubCA' : 'Managed'
}

function hubLimits({ queue, ...limits }: Hub['spec']['limits']): HubLimits {
  return {
    ...limits,
    queueMessages: queue.messages,
    queueBytes: queue.bytes,
    queueOverflow: queue.overflow,
  }
}

function seconds(field: string, text: string): number {
  const duration = parseDuration(text)
  if (duration === undefined) throw new RangeError(`${field}: expected a duration such as 1h30m, got ${text}`)
  return Math.ceil(duration / 1000)
}
