/** Reads Secrets that users name: their values are asked for when they are needed, and kept as long as nothing changed. */
import { SECRETS, type Secret } from '../api/resources.ts'
import type { ApiClient } from '../runtime/api-client.ts'
import { isNotFound } from '../runtime/api-error.ts'
import { BoundedMap } from '../runtime/bounded-map.ts'
import { type ObjectKey, objectPath } from '../runtime/resource.ts'
import type { World } from './world.ts'

/** Of all Secrets that hubs, networks and routes name; a device's is read once and not kept in need. */
const MAX_KEPT = 256

export class SecretReader {
  readonly #client: ApiClient
  readonly #world: Pick<World, 'secrets' | 'otherSecrets'>
  readonly #kept = new BoundedMap<ObjectKey, Secret>(MAX_KEPT)

  constructor(client: ApiClient, world: Pick<World, 'secrets' | 'otherSecrets'>) {
    this.#client = client
    this.#world = world
  }

  /** `<uid>/<resource version>` of what is there now; undefined: no such Secret, as far as the copy knows. */
  version(key: ObjectKey): string | undefined {
    const metadata = (this.#world.otherSecrets.get(key) ?? this.#world.secrets.get(key))?.metadata
    return metadata && `${metadata.uid}/${metadata.resourceVersion}`
  }

  /** Undefined: there is none. A change wakes whoever names the Secret, so an answer is never old for long. */
  async read(key: ObjectKey, signal: AbortSignal): Promise<Secret | undefined> {
    const ours = this.#world.secrets.get(key)
    if (ours) return ours
    const metadata = this.#world.otherSecrets.get(key)?.metadata
    if (!metadata) {
      this.#kept.delete(key)
      return undefined
    }
    const kept = this.#kept.get(key)
    if (kept && kept.metadata.resourceVersion === metadata.resourceVersion) return kept
    const secret = await this.#get(key, signal)
    if (secret) this.#kept.set(key, secret)
    else this.#kept.delete(key)
    return secret
  }

  async #get(key: ObjectKey, signal: AbortSignal): Promise<Secret | undefined> {
    try {
      return (await this.#client.request<Secret>({ method: 'GET', path: objectPath(SECRETS, key), signal }))
        .body
    } catch (error) {
      if (isNotFound(error)) return undefined
      throw error
    }
  }
}

/** The value of a key of a Secret; undefined: it has no such key. */
export function secretValue(secret: Secret, key: string): Buffer | undefined {
  const { data = {} } = secret
  return Object.hasOwn(data, key) ? Buffer.from(data[key]!, 'base64') : undefined
}

export const secretText = (secret: Secret, key: string): string | undefined =>
  secretValue(secret, key)?.toString('utf8')
