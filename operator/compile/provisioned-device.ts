import type { ProvisioningRequest } from '../../contract/provisioning.ts'
import type { Device } from '../../crds/device.ts'
import type { Hub } from '../../crds/hub.ts'
import { parseDuration } from './duration.ts'
import { provisionedDeviceName } from './names.ts'

/** Marks a Device that made itself known; a person who adopts it may remove the label. */
export const PROVISIONED_LABEL = 'iot.hublet.dev/provisioned'
export const PROVISIONED_FROM = 'iot.hublet.dev/provisioned-from'
export const PROVISIONED_AT = 'iot.hublet.dev/provisioned-at'

/** The manifest of a device that was met, by the template of its hub. Complete but for defaults. */
export function provisionedDevice(hub: Hub, request: ProvisioningRequest): ProvisionedManifest {
  const { mode, template } = hub.spec.autoProvisioning
  const { namespace } = hub.metadata
  return {
    apiVersion: hub.apiVersion,
    kind: 'Device',
    metadata: {
      name: provisionedDeviceName(request.commonName),
      ...(namespace === undefined ? {} : { namespace }),
      labels: { ...template.labels, [PROVISIONED_LABEL]: 'true' },
      annotations: {
        ...template.annotations,
        [PROVISIONED_FROM]: request.sourceAddress,
        [PROVISIONED_AT]: new Date(request.time).toISOString().replace(/\.\d{3}Z$/, 'Z'),
      },
    },
    spec: {
      hubRef: { name: hub.metadata.name },
      name: request.commonName,
      // Said, because a hub that holds the key of its CA would issue a certificate that nobody asked for.
      certificate: { hubCA: {} },
      ...(mode === 'Approve' ? { approved: false } : {}),
      allowMultipleConnections: template.allowMultipleConnections,
      messageFilters: template.messageFilters,
    },
  }
}

/** ms since the epoch at which a device that nobody has approved goes again; undefined: it does not. */
export function pendingUntil(hub: Hub, { metadata, spec }: Device): number | undefined {
  if (spec.approved !== false || metadata.labels?.[PROVISIONED_LABEL] === undefined) return undefined
  const since = Date.parse(metadata.annotations?.[PROVISIONED_AT] ?? metadata.creationTimestamp ?? '')
  const ttl = parseDuration(hub.spec.autoProvisioning.pendingTTL)
  return Number.isNaN(since) || ttl === undefined ? undefined : since + ttl
}

export interface ProvisionedManifest {
  apiVersion: string
  kind: 'Device'
  metadata: {
    name: string
    namespace?: string
    labels: Record<string, string>
    annotations: Record<string, string>
  }
  spec: Pick<
    Device['spec'],
    'hubRef' | 'name' | 'certificate' | 'approved' | 'allowMultipleConnections' | 'messageFilters'
  >
}
