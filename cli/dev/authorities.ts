import type { ServerCredentials } from '../../contract/hub-state.ts'
import type { Hub } from '../../crds/hub.ts'
import { openCa } from '../../operator/pki/certificate-authority.ts'
import type { Pair } from '../../operator/pki/pair.ts'
import { readPair } from '../../operator/pki/pair.ts'
import { PkiError } from '../../operator/pki/pki-error.ts'
import { openProvidedCa } from '../../operator/pki/provided-ca.ts'
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
}

/**
 * The CA of the devices: our own, that of a Secret, or one of the user's whose key stays there.
 * @throws PkiError when the Secret is missing, cannot be read or holds no CA, or when the challenge is not met.
 */
export async function hubAuthority(
  manifests: HubManifests,
  certificates: CertificateFiles,
  now: number,
): Promise<DeviceAuthority> {
  const { metadata, spec } = manifests.hub.object
  const { provided } = spec.deviceCA
  if (provided === undefined) {
    const issuer = await issuingAuthority(manifests, certificates, now)
    return { caCertificates: [issuer.certificatePem], issuer }
  }
  const namespace = namespaceOf(metadata)
  const names = [objectUid(namespace, 'Hub', metadata.name), `${metadata.name}.${namespace}`]
  const caCertificates = openProvidedCa(provided, { field: 'spec.deviceCA.provided', names, now })
  return { caCertificates, issuer: undefined }
}

async function issuingAuthority(
  { hub, key, secrets }: HubManifests,
  certificates: CertificateFiles,
  now: number,
): Promise<Pair> {
  const { deviceCA } = hub.object.spec
  if (deviceCA.secretRef !== undefined) {
    const field = 'spec.deviceCA.secretRef'
    const pair = pairOf(secrets, deviceCA.secretRef.name, field)
    try {
      openCa(pair, now)
    } catch (error) {
      // Seen from the hub, `ca.certificatePem` is a key of the Secret.
      if (!(error instanceof PkiError)) throw error
      const part = error.field === 'ca.privateKeyPem' ? 'tls.key' : 'tls.crt'
      throw new PkiError(error.code, `${field}[${part}]`, error.fault)
    }
    return pair
  }
  const keyAlgorithm = deviceCA.managed?.keyAlgorithm ?? 'ECDSA-P256'
  return await certificates.authority(
    `${key}/pki/device-ca`,
    `${hub.object.metadata.name} device CA`,
    keyAlgorithm,
  )
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
