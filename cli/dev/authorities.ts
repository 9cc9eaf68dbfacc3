import type { ServerCredentials } from '../../contract/hub-state.ts'
import type { Hub } from '../../crds/hub.ts'
import { parseDuration } from '../../operator/compile/duration.ts'
import { type DatedRevocationList, withPolicy } from '../../operator/compile/revocation.ts'
import {
  allTrusted,
  DEFAULT_CA_OVERLAP,
  rollOver,
  type TrustedCas,
} from '../../operator/compile/trusted-cas.ts'
import { facts } from '../../operator/pki/facts.ts'
import type { Pair } from '../../operator/pki/pair.ts'
import { readPair } from '../../operator/pki/pair.ts'
import { PkiError } from '../../operator/pki/pki-error.ts'
import { openProvidedCa, readCas } from '../../operator/pki/provided-ca.ts'
import { readRevocationLists, unrevokedCas } from '../../operator/pki/revocation-list.ts'
import { openSecretCa } from '../../operator/pki/secret-ca.ts'
import { namespaceOf } from '../manifests/manifest-set.ts'
import type { SecretLookup } from '../manifests/secret-values.ts'
import type { CertificateFiles } from './certificate-files.ts'
import type { HubManifests } from './hub-manifests.ts'
import { objectUid } from './uuid.ts'

/** Names and addresses under which this machine is reached, for the server certificate. */
export interface ServerNames {
  dnsNames: readonly string[]
  ipAddresses: readonly string[]
}

/** What certificates of devices are checked against, and what they are issued by. */
export interface DeviceAuthority {
  /** PEM, one text each. */
  caCertificates: string[]
  /** Undefined: the user issues the certificates. */
  issuer: Pair | undefined
  /** Of a CA of the user's: what to remember until the next look. */
  cas: TrustedCas | undefined
  /** What CAs of the user's have revoked. */
  lists: DatedRevocationList[]
}

export interface AuthorityInput {
  manifests: HubManifests
  certificates: CertificateFiles
  /** What was trusted at the last look; undefined: no CA of the user's. */
  before: TrustedCas | undefined
  /** ms since the epoch. */
  now: number
}

/**
 * The CA of the devices: our own, that of a Secret, or one of the user's whose key stays there.
 * @throws PkiError when the Secret is missing, cannot be read or holds no CA, or when the challenge is not met.
 */
export async function hubAuthority(input: AuthorityInput): Promise<DeviceAuthority> {
  const { hub, key, secrets } = input.manifests
  const { metadata, spec } = hub.object
  const { secretRef, provided, managed } = spec.deviceCA
  if (secretRef !== undefined) {
    const field = 'spec.deviceCA.secretRef'
    const issuer = pairOf(secrets, secretRef.name, field)
    const beside = secrets(secretRef.name, 'ca.crt')?.toString() ?? ''
    return await ownAuthority(input, openSecretCa(issuer, beside, { field, now: input.now }), issuer)
  }
  if (provided !== undefined) {
    const namespace = namespaceOf(metadata)
    const names = [objectUid(namespace, 'Hub', metadata.name), `${metadata.name}.${namespace}`]
    const field = 'spec.deviceCA.provided'
    return await ownAuthority(input, openProvidedCa(provided, { field, names, now: input.now }), undefined)
  }
  const keyAlgorithm = managed?.keyAlgorithm ?? 'ECDSA-P256'
  const caName = `${metadata.name} device CA`
  const issuer = await input.certificates.authority(`${key}/pki/device-ca`, caName, keyAlgorithm)
  return { caCertificates: [issuer.certificatePem], issuer, cas: undefined, lists: [] }
}

async function ownAuthority(
  { manifests, before, now }: AuthorityInput,
  current: string[],
  issuer: Pair | undefined,
): Promise<DeviceAuthority> {
  const { deviceCA } = manifests.hub.object.spec
  const cas = rollOver({
    before,
    wanted: { current, next: nextCas(manifests, now) },
    overlapMs: parseDuration(deviceCA.overlap ?? DEFAULT_CA_OVERLAP) ?? 0,
    now,
    endOf: (pem) => facts(pem).notAfter,
  })
  const all = allTrusted(cas)
  const lists = await revocationLists(manifests, all)
  return { caCertificates: unrevokedCas(all, lists), issuer, cas, lists }
}

async function revocationLists(
  { hub, secrets }: HubManifests,
  cas: string[],
): Promise<DatedRevocationList[]> {
  const { crl } = hub.object.spec.deviceCA
  if (crl === undefined) return []
  const { name, key } = crl.secretRef
  const field = `spec.deviceCA.crl.secretRef[${key}]`
  const content = secrets(name, key)
  if (content === undefined) {
    const expected = `a Secret ${JSON.stringify(name)} with key ${key} in the folder`
    throw new PkiError('CRL_INVALID', field, { expected, got: 'none' })
  }
  const lists = await readRevocationLists(content, { field, cas })
  return lists.map((list) => withPolicy(list, crl.whenStale))
}

function nextCas({ hub, secrets }: HubManifests, now: number): string[] {
  const { next } = hub.object.spec.deviceCA
  if (next === undefined) return []
  const field = 'spec.deviceCA.next'
  if (next.secretRef === undefined) return readCas(next.certificate ?? '', `${field}.certificate`, now)
  const { name, key } = next.secretRef
  return readCas(secrets(name, key)?.toString() ?? '', `${field}.secretRef[${key}]`, now)
}

/**
 * What the TLS listeners present, and what clients verify it with. Never the CA of the devices: a stolen device
 * CA must not be able to pose as the hub.
 * @throws PkiError when the Secret is missing or cannot be read.
 */
export async function hubServer(
  { hub, key, secrets }: HubManifests,
  certificates: CertificateFiles,
  names: ServerNames,
): Promise<{ credentials: ServerCredentials; caPem: string }> {
  const { serverTLS } = hub.object.spec
  if (serverTLS.secretRef !== undefined) {
    const { name } = serverTLS.secretRef
    const pair = pairOf(secrets, name, 'spec.serverTLS.secretRef')
    const caPem = secrets(name, 'ca.crt')?.toString() ?? pair.certificatePem
    return {
      credentials: { certificateChain: pair.certificatePem, privateKey: pair.privateKeyPem },
      caPem,
    }
  }
  return await managedServer({ hub, key, managed: serverTLS.managed }, certificates, names)
}

async function managedServer(
  { hub, key, managed }: Pick<HubManifests, 'hub' | 'key'> & { managed: Hub['spec']['serverTLS']['managed'] },
  certificates: CertificateFiles,
  names: ServerNames,
): Promise<{ credentials: ServerCredentials; caPem: string }> {
  const { dnsNames = [], ipAddresses = [], keyAlgorithm = 'ECDSA-P256' } = managed ?? {}
  const caName = `${hub.object.metadata.name} server CA`
  // Of the same algorithm: a client that cannot do elliptic curves has to verify the CA as well.
  const ca = await certificates.authority(`${key}/pki/server-ca`, caName, keyAlgorithm)
  const wish = {
    // Those of the manifest first, so that a fault's index is theirs.
    dnsNames: unique([...dnsNames, ...names.dnsNames]),
    ipAddresses: unique([...ipAddresses, ...names.ipAddresses]),
    keyAlgorithm,
  }
  try {
    const pair = await certificates.server(`${key}/pki/server`, ca, wish)
    return {
      credentials: { certificateChain: pair.certificatePem, privateKey: pair.privateKeyPem },
      caPem: ca.certificatePem,
    }
  } catch (error) {
    if (!(error instanceof PkiError) || error.code !== 'INVALID_NAME') throw error
    throw new PkiError(error.code, `spec.serverTLS.managed.${error.field}`, error.fault)
  }
}

const unique = (values: readonly string[]) => [...new Set(values)]

function pairOf(secrets: SecretLookup, name: string, field: string): Pair {
  const value = (key: string) => {
    const found = secrets(name, key)
    if (found === undefined)
      throw new PkiError(key === 'tls.crt' ? 'CERTIFICATE_UNREADABLE' : 'PRIVATE_KEY_UNREADABLE', field, {
        expected: `a Secret ${JSON.stringify(name)} with key ${key} in the folder`,
        got: 'none',
      })
    return found.toString()
  }
  return readPair({ certificatePem: value('tls.crt'), privateKeyPem: value('tls.key') }, field)
}
