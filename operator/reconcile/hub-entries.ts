/** ConfigMaps of a hub that hold what has to be remembered, one entry each. */
import { CONFIG_MAPS, type ConfigMap, type Hub } from '../api/resources.ts'
import { labelsOf } from '../compile/names.ts'
import { isConflict, isNotFound } from '../runtime/api-error.ts'
import type { Desired } from '../runtime/apply.ts'
import { isOwnedBy, ownerReference } from '../runtime/owner.ts'
import { objectKey, objectPath, resourcePath } from '../runtime/resource.ts'
import { FIELD_MANAGERS, type Tools } from './tools.ts'

export type EntriesWorld = Pick<Tools['world'], 'configMaps'>

/** Empty: there is none, or it is somebody else's. */
export function hubEntries(
  { configMaps }: EntriesWorld,
  hub: Hub,
  name: string,
): Readonly<Record<string, string>> {
  const found = configMaps.get(objectKey(hub.metadata.namespace, name))
  return (found && isOwnedBy(found, hub) ? found.data : undefined) ?? {}
}

/** For `prune`, which looks at names only: nobody applies it. */
export const keptEntries = ({ metadata }: Hub, name: string): Desired => ({
  resource: CONFIG_MAPS,
  object: { metadata: { name, namespace: metadata.namespace ?? '' } },
})

/**
 * Entries are added, and removed where they are null, one by one: those that a person removed must not come back.
 * @param name of the ConfigMap
 */
export async function writeHubEntries(
  { client, world }: Tools,
  { hub, name }: { hub: Hub; name: string },
  entries: Readonly<Record<string, string | null>>,
  signal: AbortSignal,
): Promise<void> {
  const { namespace, name: hubName } = hub.metadata
  const query = { fieldManager: FIELD_MANAGERS.hub }
  const patch = () =>
    client.request<ConfigMap>({
      method: 'PATCH',
      path: objectPath(CONFIG_MAPS, objectKey(namespace, name)),
      contentType: 'application/merge-patch+json',
      query,
      body: { data: entries },
      signal,
    })
  const create = () =>
    client.request<ConfigMap>({
      method: 'POST',
      path: resourcePath(CONFIG_MAPS, namespace),
      query,
      body: {
        apiVersion: CONFIG_MAPS.apiVersion,
        kind: CONFIG_MAPS.kind,
        metadata: {
          name,
          namespace,
          labels: labelsOf(hubName, 'credentials'),
          ownerReferences: [ownerReference(hub)],
        },
        data: Object.fromEntries(Object.entries(entries).filter(([, value]) => value !== null)),
      },
      signal,
    })
  const { body } = await patch().catch(async (error: unknown) => {
    if (!isNotFound(error)) throw error
    return await create().catch((fault: unknown) => {
      // Another device was deleted at the same time.
      if (!isConflict(fault)) throw fault
      return patch()
    })
  })
  world.configMaps.note(body)
}
