/** What stands around the pods of a hub: account, disruption budget, network policy. */
import { POD_PORTS } from '../../contract/broker-pod.ts'
import type { Hub } from '../../crds/hub.ts'
import { DISRUPTION_BUDGETS, NETWORK_POLICIES, SERVICE_ACCOUNTS } from '../api/resources.ts'
import { DEFAULT_NAMESPACE } from '../compile/hub-record.ts'
import { hubWorkload, labelsOf, podSelector } from '../compile/names.ts'
import type { Desired } from '../runtime/apply.ts'
import { openListeners } from './containers.ts'
import { desired, type Meta } from './object.ts'

/** Cloud metadata services live here, and hand credentials to whoever asks. */
const LINK_LOCAL = { ipv4: '169.254.0.0/16', ipv6: 'fe80::/10' }
/** The one of AWS is no link-local address in IPv6. */
const METADATA_IPV6 = 'fd00:ec2::/32'

const metaOf = ({ metadata }: Hub): Meta => ({
  name: hubWorkload(metadata.name),
  namespace: metadata.namespace ?? DEFAULT_NAMESPACE,
  labels: labelsOf(metadata.name, 'broker'),
})

/** An account without a token: a broker never talks to the API server. */
export const brokerServiceAccount = (hub: Hub): Desired =>
  desired(SERVICE_ACCOUNTS, metaOf(hub), { automountServiceAccountToken: false })

/** One pod at a time may be taken away on purpose. A budget that kept the only one would block every drain. */
export const brokerDisruptionBudget = (hub: Hub): Desired =>
  desired(DISRUPTION_BUDGETS, metaOf(hub), {
    spec: {
      maxUnavailable: 1,
      unhealthyPodEvictionPolicy: 'AlwaysAllow',
      selector: { matchLabels: podSelector(hub.metadata.name, 'broker') },
    },
  })

/**
 * Listeners for everyone, metrics for pods of the cluster. Outwards everything but link-local and metadata
 * addresses: routes go where their owner sends them, and are checked once more by the address they resolve to.
 */
export function brokerNetworkPolicy(hub: Hub): Desired {
  const tcp = (port: number) => ({ protocol: 'TCP', port })
  const listeners = openListeners(hub).map((name) => tcp(POD_PORTS[name]))
  const metrics = [tcp(POD_PORTS.metrics), tcp(POD_PORTS.routesMetrics)]
  return desired(NETWORK_POLICIES, metaOf(hub), {
    spec: {
      podSelector: { matchLabels: podSelector(hub.metadata.name, 'broker') },
      policyTypes: ['Ingress', 'Egress'],
      ingress: [
        ...(listeners.length > 0 ? [{ ports: listeners }] : []),
        { from: [{ namespaceSelector: {} }], ports: metrics },
      ],
      egress: [
        {
          to: [
            // Pods, for CNIs that do not count them among addresses.
            { namespaceSelector: {} },
            { ipBlock: { cidr: '0.0.0.0/0', except: [LINK_LOCAL.ipv4] } },
            { ipBlock: { cidr: '::/0', except: [METADATA_IPV6, LINK_LOCAL.ipv6] } },
          ],
        },
      ],
    },
  })
}
