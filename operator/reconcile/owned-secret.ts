import { COMMON_REASONS } from '../../crds/meta.ts'
import { SECRETS, type Secret } from '../api/resources.ts'
import { isNotFound } from '../runtime/api-error.ts'
import { isOfPreviousOwner, isOwnedBy } from '../runtime/owner.ts'
import { type KubeObject, objectKey, objectPath } from '../runtime/resource.ts'
import { type Problem, stalledBy, type Tools, waitsFor } from './tools.ts'

/** A Secret of ours by its name: there, free to be made, or somebody else's. */
export type OwnedSecret =
  | { secret: Secret; problem?: undefined }
  | { secret?: undefined; problem?: undefined }
  | { secret?: undefined; problem: Problem }

/**
 * Looks in the copy, and where that shows nothing asks the API server: what is issued anew by mistake takes the place
 * of a key that nobody has a copy of. A Secret that `owner` does not own is never read, whatever its labels say.
 */
export async function findOwnedSecret(
  { world, client }: Pick<Tools, 'world' | 'client'>,
  owner: KubeObject,
  name: string,
  signal: AbortSignal,
): Promise<OwnedSecret> {
  const key = objectKey(owner.metadata.namespace, name)
  const found = world.secrets.get(key) ?? (await read(client, key, signal))
  if (found === undefined) return {}
  if (isOwnedBy(found, owner)) {
    if (found.metadata.deletionTimestamp === undefined) return { secret: found }
    return { problem: waitsFor('Terminating', `Secret ${key} is being deleted`) }
  }
  if (isOfPreviousOwner(found, owner))
    return {
      problem: waitsFor(
        'PreviousOwner',
        `Secret ${key} of an earlier ${owner.kind} of this name is not deleted yet`,
      ),
    }
  const message = `Secret ${key} exists and is not ours: delete or rename it`
  return { problem: stalledBy(COMMON_REASONS.NameTaken, message) }
}

async function read(client: Tools['client'], key: string, signal: AbortSignal): Promise<Secret | undefined> {
  try {
    return (await client.request<Secret>({ method: 'GET', path: objectPath(SECRETS, key), signal })).body
  } catch (error) {
    if (isNotFound(error)) return undefined
    throw error
  }
}

/** Only from the copy: for reading what another reconciler makes. */
export function knownOwnedSecret(
  { secrets }: Pick<Tools['world'], 'secrets'>,
  owner: KubeObject,
  name: string,
): Secret | undefined {
  const found = secrets.get(objectKey(owner.metadata.namespace, name))
  return found && isOwnedBy(found, owner) ? found : undefined
}
