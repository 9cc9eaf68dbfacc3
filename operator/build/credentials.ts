/** Secrets and ConfigMaps with certificates, tokens and passwords. Values come in, objects go out. */
import type { Device } from '../../crds/device.ts'
import type { Hub } from '../../crds/hub.ts'
import type { Network } from '../../crds/network.ts'
import { CONFIG_MAPS, SECRETS } from '../api/resources.ts'
import { DEFAULT_NAMESPACE } from '../compile/hub-record.ts'
import {
  deviceEnrolmentSecret,
  deviceTlsSecret,
  deviceVerifierSecret,
  hubCrlConfigMap,
  hubDeviceCaSecret,
  hubDeviceTrustSecret,
  hubRedisSecret,
  hubRoutesSecret,
  hubServerCaConfigMap,
  hubServerCaSecret,
  hubServerTlsSecret,
  labelsOf,
  networkTokenSecret,
} from '../compile/names.ts'
import type { CertificateWithKey } from '../pki/profile.ts'
import type { Desired } from '../runtime/apply.ts'
import { desired, type Meta, secretData } from './object.ts'

/** The annotation of a verifier Secret that says which state of which Secret it was made of. */
export const VERIFIER_SOURCE_ANNOTATION = 'iot.hublet.dev/password-source'

const hubMeta = ({ metadata }: Hub, name: string, component: 'certificate' | 'credentials'): Meta => ({
  name,
  namespace: metadata.namespace ?? DEFAULT_NAMESPACE,
  labels: labelsOf(metadata.name, component),
})

const tls = (pair: CertificateWithKey, caPem: string) => ({
  type: 'kubernetes.io/tls',
  data: secretData({ 'tls.crt': pair.certificatePem, 'tls.key': pair.privateKeyPem, 'ca.crt': caPem }),
})

/** A CA of ours: `tls.crt` and `tls.key` sign, `ca.crt` has every certificate that is still to be trusted. */
export const deviceCaSecret = (hub: Hub, ca: CertificateWithKey, bundlePem: string): Desired =>
  desired(SECRETS, hubMeta(hub, hubDeviceCaSecret(hub.metadata.name), 'certificate'), tls(ca, bundlePem))

/** The same for the CA of the server certificate; `next` is published already and signs nothing yet. */
export function serverCaSecret(
  hub: Hub,
  ca: CertificateWithKey,
  bundlePem: string,
  next?: CertificateWithKey,
): Desired {
  const { type, data } = tls(ca, bundlePem)
  const coming =
    next === undefined ? {} : secretData({ 'next.crt': next.certificatePem, 'next.key': next.privateKeyPem })
  const meta = hubMeta(hub, hubServerCaSecret(hub.metadata.name), 'certificate')
  return desired(SECRETS, meta, { type, data: { ...data, ...coming } })
}

/** What the listeners present, whoever issued it; the pods mount certificate and key. */
export const serverTlsSecret = (hub: Hub, pair: CertificateWithKey, caPem: string): Desired =>
  desired(SECRETS, hubMeta(hub, hubServerTlsSecret(hub.metadata.name), 'certificate'), tls(pair, caPem))

/** What clients check the server certificate with: public. */
export const serverCaConfigMap = (hub: Hub, caPem: string): Desired =>
  desired(CONFIG_MAPS, hubMeta(hub, hubServerCaConfigMap(hub.metadata.name), 'certificate'), {
    data: { 'ca.crt': caPem },
  })

/** What the managed device CA has revoked, signed by it: public. */
export const crlConfigMap = (hub: Hub, crlPem: string): Desired =>
  desired(CONFIG_MAPS, hubMeta(hub, hubCrlConfigMap(hub.metadata.name), 'certificate'), {
    data: { 'ca.crl': crlPem },
  })

/** The device CA in force, kept so that a CA that turns out bad does not take the place of a good one. */
export const deviceTrustSecret = (
  hub: Hub,
  { deviceCA, caPem, beside }: { deviceCA: object; caPem: string; beside?: Readonly<Record<string, object>> },
): Desired =>
  desired(SECRETS, hubMeta(hub, hubDeviceTrustSecret(hub.metadata.name), 'certificate'), {
    type: 'Opaque',
    data: secretData({
      'device-ca.json': JSON.stringify(deviceCA),
      'ca.crt': caPem,
      ...Object.fromEntries(
        Object.entries(beside ?? {}).map(([name, value]) => [`${name}.json`, JSON.stringify(value)]),
      ),
    }),
  })

/** How the pods reach Redis: files named after the fields of `RedisAccess`. */
export const redisSecret = (hub: Hub, values: Readonly<Record<string, string>>): Desired =>
  desired(SECRETS, hubMeta(hub, hubRedisSecret(hub.metadata.name), 'credentials'), {
    type: 'Opaque',
    data: secretData(values),
  })

/** Credentials of all routes of a hub: one file each. */
export const routesSecret = (hub: Hub, files: Readonly<Record<string, string>>): Desired =>
  desired(SECRETS, hubMeta(hub, hubRoutesSecret(hub.metadata.name), 'credentials'), {
    type: 'Opaque',
    data: secretData(files),
  })

/** Certificate and key of a device, with the CA of the server beside it: what an MQTT client needs. */
export const deviceSecret = (device: Device, pair: CertificateWithKey, serverCaPem: string): Desired =>
  desired(SECRETS, memberMeta(device, deviceSecretName(device), 'certificate'), tls(pair, serverCaPem))

export const deviceSecretName = ({ metadata, spec }: Device): string =>
  spec.certificate?.managed?.secretName ?? deviceTlsSecret(metadata.name)

/** The scrypt verifier of a device's password. */
export const verifierSecret = (device: Device, verifier: string, source: string): Desired =>
  desired(
    SECRETS,
    {
      ...memberMeta(device, deviceVerifierSecret(device.metadata.name), 'credentials'),
      annotations: { [VERIFIER_SOURCE_ANNOTATION]: source },
    },
    { type: 'Opaque', data: secretData({ verifier }) },
  )

/** The annotation of an enrolment Secret: when its token ends, RFC 3339. */
export const ENROLMENT_EXPIRES_ANNOTATION = 'iot.hublet.dev/expires'

export interface EnrolmentToken {
  token: string
  serverCaPem: string
  /** ms since the epoch. */
  ends: number
  /** The rotation that it was made for; empty: the first certificate. */
  rotation: string
}

/** What a device needs to ask for its first certificate. */
export const enrolmentSecret = (
  device: Device,
  { token, serverCaPem, ends, rotation }: EnrolmentToken,
): Desired =>
  desired(
    SECRETS,
    {
      ...memberMeta(device, deviceEnrolmentSecret(device.metadata.name), 'credentials'),
      annotations: {
        [ENROLMENT_EXPIRES_ANNOTATION]: new Date(ends).toISOString().replace(/\.\d{3}Z$/, 'Z'),
        'iot.hublet.dev/rotation': rotation,
      },
    },
    { type: 'Opaque', data: secretData({ token, 'ca.crt': serverCaPem }) },
  )

export const tokenSecret = (network: Network, token: string): Desired =>
  desired(SECRETS, memberMeta(network, networkTokenSecret(network.metadata.name), 'credentials'), {
    type: 'Opaque',
    data: secretData({ token }),
  })

function memberMeta(
  { metadata, spec }: Device | Network,
  name: string,
  component: 'certificate' | 'credentials',
): Meta {
  return {
    name,
    namespace: metadata.namespace ?? DEFAULT_NAMESPACE,
    labels: labelsOf(spec.hubRef.name, component),
  }
}
