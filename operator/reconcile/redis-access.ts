/** Where the Redis of a hub is, and how operator and pods are let in. */
import type { RedisAccess } from '../../contract/redis-access.ts'
import { redisSettings } from '../../contract/redis-access.ts'
import { COMMON_REASONS } from '../../crds/meta.ts'
import type { Hub, Secret } from '../api/resources.ts'
import { redisHost } from '../build/redis.ts'
import { REDIS_PORT } from '../build/redis-config.ts'
import { hubRedisSecret, hubRedisServerSecret } from '../compile/names.ts'
import { objectKey } from '../runtime/resource.ts'
import { secretText } from '../watch/secret-reader.ts'
import { knownOwnedSecret } from './owned-secret.ts'
import type { RedisTarget } from './ports.ts'
import { type Problem, stalledBy, type Tools, waitsFor } from './tools.ts'

export type RedisMode = 'Managed' | 'URL' | 'Secret' | 'OperatorDefault'

/** Managed where neither the hub nor the operator names one (design §8.2). */
export function redisMode(
  { spec }: Hub,
  { defaultRedisSecret }: Pick<Tools, 'defaultRedisSecret'>,
): RedisMode {
  if (spec.redis?.url !== undefined) return 'URL'
  if (spec.redis?.secretRef !== undefined) return 'Secret'
  if (spec.redis?.managed !== undefined || defaultRedisSecret === undefined) return 'Managed'
  return 'OperatorDefault'
}

export type Found<T> = { found: T } | { problem: Problem }

/** How the operator reaches a Redis that is not managed. */
export async function givenAccess(
  hub: Hub,
  mode: Exclude<RedisMode, 'Managed'>,
  tools: Tools,
  signal: AbortSignal,
): Promise<Found<RedisAccess>> {
  if (mode === 'URL') return checked({ url: hub.spec.redis?.url ?? '' }, 'spec.redis.url')
  const [key, field] =
    mode === 'Secret'
      ? [objectKey(hub.metadata.namespace, hub.spec.redis?.secretRef?.name ?? ''), 'spec.redis.secretRef']
      : [tools.defaultRedisSecret ?? '', '--default-redis-secret']
  const secret =
    mode === 'Secret' ? await tools.secrets.read(key, signal) : await tools.readDefaultRedis(signal)
  if (secret === undefined)
    return {
      problem: waitsFor(
        COMMON_REASONS.SecretNotFound,
        `${field}: there is no Secret ${key.slice(key.indexOf('/') + 1)}`,
      ),
    }
  return checked(accessOf(secret), field)
}

function checked(access: RedisAccess, field: string): Found<RedisAccess> {
  try {
    redisSettings(access)
    return { found: access }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return { problem: stalledBy(COMMON_REASONS.SecretInvalid, `${field}: ${error.message}`) }
  }
}

/** The keys of a Secret that says how to reach a Redis. */
function accessOf(secret: Secret): RedisAccess {
  const [username, password, caCertificates] = ['username', 'password', 'ca.crt'].map((key) =>
    secretText(secret, key)?.trim(),
  )
  return {
    url: secretText(secret, 'url')?.trim() ?? '',
    ...(username === undefined || username === '' ? {} : { username }),
    ...(password === undefined || password === '' ? {} : { password }),
    ...(caCertificates === undefined || caCertificates === '' ? {} : { caCertificates }),
  }
}

export const managedUrl = (hub: Hub, tools: Pick<Tools, 'settings'>): string =>
  `rediss://${redisHost(hub, tools.settings)}:${REDIS_PORT}`

/** Whether the hub gets a Redis user of its own: not where there is nobody to make it. */
export const hasOwnUser = (mode: RedisMode): boolean => mode !== 'URL'

/**
 * The Redis to publish the hub's state to, by what the hub's reconcile has put in place. Undefined: nothing yet, or
 * no more.
 */
export async function redisTarget(
  hub: Hub,
  tools: Tools,
  signal: AbortSignal,
): Promise<Found<RedisTarget | undefined>> {
  const mode = redisMode(hub, tools)
  const own = knownOwnedSecret(tools.world, hub, hubRedisSecret(hub.metadata.name))
  const hubPassword = own && secretText(own, 'password')
  if (mode === 'Managed') return { found: managedTarget(hub, tools) }
  const access = await givenAccess(hub, mode, tools, signal)
  if ('problem' in access) return access
  if (!hasOwnUser(mode)) return { found: { access: access.found, hasOwnUser: false } }
  // Without it the pods could not be let in, so there is nobody to publish for.
  if (hubPassword === undefined) return { found: undefined }
  return { found: { access: access.found, hasOwnUser: true, hubPassword } }
}

/**
 * The Redis to clean when a hub goes. What the hub's reconcile has made may be gone already, so only what was given is
 * asked for. Undefined: a managed one, which goes with its hub, volume and all.
 */
export async function removalTarget(
  hub: Hub,
  tools: Tools,
  signal: AbortSignal,
): Promise<Found<RedisTarget | undefined>> {
  const mode = redisMode(hub, tools)
  if (mode === 'Managed') return { found: undefined }
  const access = await givenAccess(hub, mode, tools, signal)
  if ('found' in access) return { found: { access: access.found, hasOwnUser: hasOwnUser(mode) } }
  // Its Secret may have been deleted before the hub was.
  const known = tools.publisher.lastTarget(hub.metadata.uid ?? '')
  return known === undefined ? access : { found: known }
}

/** The user of the hub stands in the configuration of a managed Redis already. */
function managedTarget(hub: Hub, tools: Tools): RedisTarget | undefined {
  const server = knownOwnedSecret(tools.world, hub, hubRedisServerSecret(hub.metadata.name))
  const password = server && secretText(server, 'password')
  const caCertificates = server && secretText(server, 'ca.crt')
  if (password === undefined || caCertificates === undefined) return undefined
  return { access: { url: managedUrl(hub, tools), password, caCertificates }, hasOwnUser: false }
}
