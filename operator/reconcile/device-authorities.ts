/** What certificates of devices are issued by. */
import { COMMON_REASONS } from '../../crds/meta.ts'
import { hubDeviceCaSecret, hubServerTlsSecret } from '../compile/names.ts'
import { certificatesIn } from '../pki/facts.ts'
import type { Pair } from '../pki/pair.ts'
import { objectKey } from '../runtime/resource.ts'
import { secretText } from '../watch/secret-reader.ts'
import type { DeviceScope } from './device-part.ts'
import { knownOwnedSecret } from './owned-secret.ts'
import { pairOf } from './pairs.ts'
import { type Problem, waitsFor } from './tools.ts'

export interface Authorities {
  ca: Pair
  /** What the device checks the hub with. */
  serverCaPem: string
}

/** Both are put in place by the reconcile of the hub. */
export async function authorities(scope: DeviceScope): Promise<Authorities | { problem: Problem }> {
  const { tools, hub, signal } = scope
  const { name, namespace } = hub.metadata
  const { secretRef } = scope.trust.deviceCA
  const secret =
    secretRef === undefined
      ? knownOwnedSecret(tools.world, hub, hubDeviceCaSecret(name))
      : await tools.secrets.read(objectKey(namespace, secretRef.name), signal)
  const ca = secret && pairOf(secret)
  const server = knownOwnedSecret(tools.world, hub, hubServerTlsSecret(name))
  const serverCaPem = server && secretText(server, 'ca.crt')
  if (ca === undefined || ca === 'unreadable' || serverCaPem === undefined || !isTrusted(ca, scope))
    return {
      problem: waitsFor(COMMON_REASONS.HubNotReady, `the certificates of Hub ${name} are not in place yet`),
    }
  return { ca, serverCaPem }
}

/** A CA of the user's that was not found good yet, or that brokers will hear of only later, signs nothing. */
const isTrusted = ({ certificatePem }: Pair, { trust }: DeviceScope): boolean =>
  trust.caCertificates.includes(certificatesIn(certificatePem)[0] ?? '')
