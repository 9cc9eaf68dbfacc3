import { createHash } from 'node:crypto'
import type { ProvisioningRequest } from '../../contract/provisioning.ts'
import type { Device } from '../../crds/device.ts'
import type { Hub } from '../../crds/hub.ts'

/** Marks a Device that made itself known; a person who adopts it may remove the label. */
export const PROVISIONED_LABEL = 'iot.hublet.dev/provisioned'
export const PROVISIONED_FROM = 'iot.hublet.dev/provisioned-from'
export const PROVISIONED_AT = 'iot.hublet.dev/provisioned-at'

const SLUG_MAX_LENGTH = 54

/**
 * Object name of the device with this common name (design §8.11): readable, a legal name, and the same for the
 * same common name on every try, so that two brokers which meet one device make one object.
 */
export function provisionedName(commonName: string): string {
  const slug = commonName
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, SLUG_MAX_LENGTH)
    .replaceAll(/^-+|-+$/g, '')
  const digest = createHash('sha256').update(commonName).digest('hex').slice(0, 8)
  return slug === '' ? `device-${digest}` : `${slug}-${digest}`
}

/** The manifest of a device that was met, by the template of its hub. Complete but for defaults. */
export function provisionedDevice(hub: Hub, request: ProvisioningRequest): ProvisionedManifest {
  const { mode, template } = hub.spec.autoProvisioning
  const { namespace } = hub.metadata
  return {
    apiVersion: hub.apiVersion,
    kind: 'Device',
    metadata: {
      name: provisionedName(request.commonName),
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
