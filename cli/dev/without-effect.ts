import type { HubManifests } from './hub-manifests.ts'

/** What is taken and has no effect here, as sentences. */
export function withoutEffect({ hub, devices, networks }: HubManifests): string[] {
  const { replicas, redis } = hub.object.spec
  const notes: string[] = []
  if (replicas > 1) notes.push(`replicas: ${replicas}: one process serves the hub here`)
  if (redis !== undefined) notes.push('redis: messages and sessions are kept in the data folder here')
  const accounts = devices.filter(({ object }) => object.spec.serviceAccount !== undefined)
  if (accounts.length > 0)
    notes.push(
      `serviceAccount: there is no cluster here whose tokens could be taken: ${accounts
        .map(({ object }) => object.metadata.name)
        .join(', ')}`,
    )
  const exposed = networks.filter(({ object }) => object.spec.exposure.type !== 'Hub')
  if (exposed.length > 0)
    notes.push(
      `exposure of networks: the listeners of the hub serve them here: ${exposed
        .map(({ object }) => object.metadata.name)
        .join(', ')}`,
    )
  return notes
}
