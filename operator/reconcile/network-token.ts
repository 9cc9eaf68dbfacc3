import { COMMON_REASONS } from '../../crds/meta.ts'
import { NETWORK_REASONS } from '../../crds/network.ts'
import type { Network } from '../api/resources.ts'
import { networkTokenSecret } from '../compile/names.ts'
import { objectKey } from '../runtime/resource.ts'
import { secretText } from '../watch/secret-reader.ts'
import { knownOwnedSecret } from './owned-secret.ts'
import { type Problem, stalledBy, type Tools, waitsFor } from './tools.ts'

/** 96 bits in base64: beyond guessing over a network. */
const MIN_TOKEN_LENGTH = 16

export const hasToken = ({ spec }: Network): boolean => spec.type === 'REST' || spec.type === 'Sigfox'

/** The token of a network, or why there is none that can be used. Neither: it is still to be made. */
export async function networkToken(
  network: Network,
  tools: Tools,
  signal: AbortSignal,
): Promise<{ token?: string; problem?: Problem }> {
  if (!hasToken(network)) return {}
  const { tokenSecretRef: ref } = network.spec
  if (ref === undefined) {
    const own = knownOwnedSecret(tools.world, network, networkTokenSecret(network.metadata.name))
    const token = own && secretText(own, 'token')
    return token === undefined || weakness(token) !== undefined ? {} : { token }
  }
  const secret = await tools.secrets.read(objectKey(network.metadata.namespace, ref.name), signal)
  const field = 'spec.tokenSecretRef'
  if (secret === undefined)
    return { problem: waitsFor(COMMON_REASONS.SecretNotFound, `${field}: there is no Secret ${ref.name}`) }
  // The line feed that editors and `base64` leave at the end cannot be part of an HTTP header.
  const token = secretText(secret, ref.key)?.replace(/[\r\n]+$/, '')
  if (token === undefined)
    return {
      problem: waitsFor(COMMON_REASONS.SecretInvalid, `${field}: Secret ${ref.name} has no key ${ref.key}`),
    }
  const fault = weakness(token)
  return fault === undefined ? { token } : { problem: stalledBy(NETWORK_REASONS.TokenTooWeak, fault) }
}

/** Why the token cannot be used; undefined: it can. */
export function weakness(token: string): string | undefined {
  if (token.length < MIN_TOKEN_LENGTH)
    return `the token has ${token.length} characters, expected at least ${MIN_TOKEN_LENGTH}: every request is refused`
  if (!/^[\x21-\x7e]+$/.test(token))
    return 'the token cannot be an HTTP header, which holds visible ASCII only: every request is refused'
  return undefined
}
