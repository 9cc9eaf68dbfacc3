import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { NETWORK_REASONS, type Network } from '../../crds/network.ts'
import type { Diagnostic } from '../../operator/compile/diagnostic.ts'
import type { NetworkFacts } from '../../operator/compile/facts.ts'
import type { SecretLookup } from '../manifests/secret-values.ts'
import type { Surroundings } from './certificate-files.ts'
import type { DataFolder } from './data-folder.ts'
import type { HubManifests } from './hub-manifests.ts'
import type { HubIdentityRecord } from './identity-record.ts'

const TOKEN_BYTES = 32
/** 96 bits in base64: beyond guessing over a network. */
const MIN_TOKEN_LENGTH = 16

type NetworkIdentity = HubIdentityRecord['networks'][string]

export interface EnsuredTokens {
  identities: Map<string, NetworkIdentity>
  /** By `metadata.name`. A network without facts refuses every request. */
  facts: Map<string, NetworkFacts>
  diagnostics: Diagnostic[]
}

/** The tokens of REST and Sigfox networks, in `<hub>/networks/<network>/token`. */
export class NetworkTokens {
  readonly #folder: DataFolder
  readonly #surroundings: Surroundings

  constructor(folder: DataFolder, surroundings: Surroundings) {
    this.#folder = folder
    this.#surroundings = surroundings
  }

  ensure(
    { key, networks, secrets }: HubManifests,
    known: ReadonlyMap<string, NetworkIdentity>,
  ): EnsuredTokens {
    const result: EnsuredTokens = { identities: new Map(known), facts: new Map(), diagnostics: [] }
    for (const { object } of networks) {
      if (object.spec.type !== 'REST' && object.spec.type !== 'Sigfox') continue
      const { name } = object.metadata
      const { token, identity, message } = this.#token(object, { key, secrets, known: known.get(name) })
      result.identities.set(name, identity)
      if (token !== undefined) result.facts.set(name, { tokenSha256: sha256(token) })
      if (message !== undefined) {
        const reason = NETWORK_REASONS.TokenTooWeak
        result.diagnostics.push({ kind: 'Network', name, reason, message, excluded: true })
      }
    }
    return result
  }

  #token(
    network: Network,
    { key, secrets, known }: { key: string; secrets: SecretLookup; known: NetworkIdentity | undefined },
  ): { token?: string; identity: NetworkIdentity; message?: string } {
    const file = join(key, 'networks', network.metadata.name, 'token')
    const isOurs = network.spec.tokenSecretRef === undefined
    const identity: NetworkIdentity = { token: isOurs ? 'Generated' : 'Secret' }
    const token = isOurs ? this.#generated(file, known?.token === 'Generated') : secretToken(network, secrets)
    const message = token === undefined ? undefined : weakness(token)
    if (token === undefined || message !== undefined) {
      this.#keep(file, undefined)
      return { identity, ...(message !== undefined && { message }) }
    }
    this.#keep(file, token)
    return { token, identity }
  }

  #keep(file: string, token: string | undefined): void {
    if (token === undefined) this.#folder.remove(file)
    else if (this.#folder.read(file) !== token) this.#folder.write(file, token)
  }

  /** A token that came from a Secret is not taken over as one of ours. */
  #generated(file: string, isOurs: boolean): string {
    const found = isOurs ? this.#folder.read(file) : undefined
    if (found !== undefined && weakness(found) === undefined) return found
    return Buffer.from(this.#surroundings.random(TOKEN_BYTES)).toString('base64url')
  }
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

/** The line feed that editors and `base64` leave at the end cannot be part of an HTTP header. */
function secretToken({ spec }: Network, secrets: SecretLookup): string | undefined {
  const ref = spec.tokenSecretRef
  return ref === undefined
    ? undefined
    : secrets(ref.name, ref.key)
        ?.toString()
        .replace(/[\r\n]+$/, '')
}

/** Why the token cannot be used; undefined: it can. */
function weakness(token: string): string | undefined {
  if (token.length < MIN_TOKEN_LENGTH)
    return `the token has ${token.length} characters, expected at least ${MIN_TOKEN_LENGTH}: every request is refused`
  if (!/^[\x21-\x7e]+$/.test(token))
    return 'the token cannot be an HTTP header, which holds visible ASCII only: every request is refused'
  return undefined
}
