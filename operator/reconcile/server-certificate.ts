/** What the TLS listeners of a hub present, and what clients check it with. */

import { HUB_REASONS, ROTATE_SERVER_CA_ANNOTATION } from '../../crds/hub.ts'
import { COMMON_REASONS } from '../../crds/meta.ts'
import type { Hub, Network, Secret } from '../api/resources.ts'
import { serverCaConfigMap, serverCaSecret, serverTlsSecret } from '../build/credentials.ts'
import { parseDuration } from '../compile/duration.ts'
import { DEFAULT_NAMESPACE } from '../compile/hub-record.ts'
import { hubServerCaSecret, hubServerTlsSecret, hubWorkload, networkService } from '../compile/names.ts'
import { certificatesIn, facts, needsRenewal } from '../pki/facts.ts'
import { issueServerCertificate } from '../pki/issue.ts'
import type { KeyAlgorithm } from '../pki/keys.ts'
import { isValidFor, type Pair, readPair } from '../pki/pair.ts'
import { PkiError } from '../pki/pki-error.ts'
import { newSerial } from '../pki/profile.ts'
import { objectKey } from '../runtime/resource.ts'
import { HUB_INDEX } from '../watch/indexes.ts'
import { secretText } from '../watch/secret-reader.ts'
import { rotationOf } from './device-authority.ts'
import { caStatus } from './device-trust.ts'
import { EVENT_REASONS } from './event-reasons.ts'
import { emptyPart, failedPart, type HubPart, type HubScope } from './hub-part.ts'
import { ensureManagedCa, type ManagedCa } from './managed-ca.ts'
import { findOwnedSecret } from './owned-secret.ts'
import { isFromCa, pairOf } from './pairs.ts'
import { stalledBy, waitsFor } from './tools.ts'

const DAY_MS = 86_400_000
const DURATION_MS = 90 * DAY_MS
/** A third of its time is left when a successor is issued. */
const RENEW_BEFORE_MS = 30 * DAY_MS
/** Default of the field. */
const DEFAULT_LEAD_MS = 30 * DAY_MS

/** The step of a hub's reconcile for the certificate of its listeners. */
export async function serverCertificate(scope: HubScope): Promise<HubPart> {
  const { tools, hub, signal } = scope
  const own = await findOwnedSecret(tools, hub, hubServerTlsSecret(hub.metadata.name), signal)
  if (own.problem !== undefined) return failedPart(own.problem)
  const ca = await findOwnedSecret(tools, hub, hubServerCaSecret(hub.metadata.name), signal)
  const { secretRef } = hub.spec.serverTLS
  const part =
    secretRef === undefined
      ? await managedCertificate(scope, own.secret)
      : await certificateOfSecret(scope, secretRef.name, own.secret)
  // The CA of ours is kept while the certificate comes from elsewhere: devices trust it.
  return ca.secret === undefined ? part : { ...part, kept: [...part.kept, ca.secret] }
}

/**
 * The user's certificate is copied, so that the pods mount one and the same Secret whatever the hub asks for, and
 * get a new pair only when certificate and key fit.
 */
async function certificateOfSecret(
  { tools, hub, now, signal }: HubScope,
  name: string,
  own: Secret | undefined,
): Promise<HubPart> {
  const field = 'spec.serverTLS.secretRef'
  const secret = await tools.secrets.read(objectKey(hub.metadata.namespace, name), signal)
  if (secret === undefined)
    return failedPart(waitsFor(COMMON_REASONS.SecretNotFound, `${field}: there is no Secret ${name}`), own)
  const certificatePem = secretText(secret, 'tls.crt') ?? ''
  try {
    const pair = readPair({ certificatePem, privateKeyPem: secretText(secret, 'tls.key') ?? '' }, field)
    const caPem = secretText(secret, 'ca.crt') ?? certificatePem
    const hasEnded = pair.facts.notAfter <= now
    const ended = `${field}[tls.crt]: expected a certificate that has not expired, got one that ended ${time(pair.facts.notAfter)}`
    return {
      ...partOf(hub, pair, { caPem, own }),
      problems: hasEnded ? [stalledBy(HUB_REASONS.ServerCertificateInvalid, ended)] : [],
      ...(hasEnded ? {} : { dueAt: pair.facts.notAfter }),
    }
  } catch (error) {
    if (!(error instanceof PkiError)) throw error
    return failedPart(stalledBy(HUB_REASONS.ServerCertificateInvalid, error.message), own)
  }
}

async function managedCertificate(scope: HubScope, own: Secret | undefined): Promise<HubPart> {
  const { hub } = scope
  const { name } = hub.metadata
  const { managed } = hub.spec.serverTLS
  const keyAlgorithm = managed?.keyAlgorithm ?? 'ECDSA-P256'
  const made = await ensureManagedCa(scope, {
    secretName: hubServerCaSecret(name),
    commonName: `${name} server CA`,
    keyAlgorithm: 'ECDSA-P256',
    leadMs: parseDuration(managed?.caLeadTime ?? '') ?? DEFAULT_LEAD_MS,
    rotation: rotationOf(hub, ROTATE_SERVER_CA_ANNOTATION),
    handledRotation: hub.status?.serverCA?.handledRotation,
    build: (pair, bundlePem, next) => serverCaSecret(hub, pair, bundlePem, next),
  })
  if ('problem' in made) return failedPart(made.problem, own)
  const { ca } = made
  const names = serverNames(scope)
  try {
    const { pair, isNew } = await leaf(scope, { ca, own, names, keyAlgorithm })
    const part = partOf(hub, pair, { caPem: ca.bundlePem, own })
    const issued = {
      type: 'Normal' as const,
      reason:
        own === undefined ? EVENT_REASONS.ServerCertificateIssued : EVENT_REASONS.ServerCertificateRenewed,
      action: 'Issue',
      note: `the server certificate is valid until ${time(pair.facts.notAfter)}`,
    }
    return {
      ...part,
      status: { ...part.status, serverCA: { ...part.status.serverCA, ...successionStatus(ca) } },
      desired: [ca.desired, ...part.desired],
      events: [...ca.events, ...(isNew ? [issued] : [])],
      dueAt: Math.min(ca.dueAt, pair.facts.notAfter - RENEW_BEFORE_MS),
    }
  } catch (error) {
    if (!(error instanceof PkiError)) throw error
    const message = `spec.serverTLS.managed.${error.message}`
    return failedPart(stalledBy(HUB_REASONS.ServerCertificateInvalid, message), own)
  }
}

const successionStatus = ({ next, dueAt, handledRotation }: ManagedCa) => ({
  ...(handledRotation === undefined ? {} : { handledRotation }),
  ...(next === undefined ? {} : { next: { fingerprint: next.pair.facts.fingerprint, from: time(dueAt) } }),
})

interface LeafWish {
  ca: ManagedCa
  own: Secret | undefined
  names: ServerNames
  keyAlgorithm: KeyAlgorithm
}

async function leaf(
  { tools, now }: HubScope,
  { ca, own, names, keyAlgorithm }: LeafWish,
): Promise<{ pair: Pair; isNew: boolean }> {
  const found = own === undefined ? 'unreadable' : pairOf(own)
  const isKept =
    own !== undefined &&
    found !== 'unreadable' &&
    found.keyAlgorithm === keyAlgorithm &&
    !needsRenewal(found.facts, RENEW_BEFORE_MS, now) &&
    isFromCa(own, found, ca.pair) &&
    isValidFor(found.certificatePem, names)
  if (isKept) return { pair: found, isNew: false }
  const serial = newSerial(tools.randomBytes)
  const made = await issueServerCertificate({
    ca: ca.pair,
    ...names,
    keyAlgorithm,
    duration: DURATION_MS,
    now,
    serial,
  })
  return { pair: readPair(made, 'server certificate'), isNew: true }
}

function partOf(hub: Hub, pair: Pair, { caPem, own }: { caPem: string; own: Secret | undefined }): HubPart {
  return {
    ...emptyPart(),
    desired: [
      { ...serverTlsSecret(hub, pair, caPem), known: own ?? ('absent' as const) },
      serverCaConfigMap(hub, caPem),
    ],
    status: {
      serverCA: caStatus(certificatesIn(caPem)),
      serverCertificateNotAfter: time(facts(pair.certificatePem).notAfter),
    },
  }
}

interface ServerNames {
  dnsNames: string[]
  ipAddresses: string[]
}

/** Names that clients may use: those of the spec first, so that a fault is blamed on the right one. */
function serverNames({ tools, hub }: HubScope): ServerNames {
  const { world, settings } = tools
  const { name, namespace = DEFAULT_NAMESPACE } = hub.metadata
  const networks = world.networks.byIndex(HUB_INDEX, objectKey(namespace, name))
  const exposed = networks.filter(({ spec }) => spec.exposure.type !== 'Hub')
  const services = [hubWorkload(name), ...exposed.map(({ metadata }) => networkService(metadata.name))].sort()
  const balanced = services.flatMap(
    (service) => world.services.get(objectKey(namespace, service))?.status?.loadBalancer?.ingress ?? [],
  )
  const managed = hub.spec.serverTLS.managed
  return {
    dnsNames: unique([
      ...(managed?.dnsNames ?? []),
      ...services.flatMap((service) => serviceNames(service, namespace, settings.clusterDomain)),
      ...exposed.flatMap(gatewayNames),
      ...balanced.flatMap(({ hostname }) => hostname ?? []),
    ]),
    ipAddresses: unique([...(managed?.ipAddresses ?? []), ...balanced.flatMap(({ ip }) => ip ?? [])]),
  }
}

const serviceNames = (service: string, namespace: string, domain: string): string[] => [
  service,
  `${service}.${namespace}`,
  `${service}.${namespace}.svc`,
  `${service}.${namespace}.svc.${domain}`,
]

const gatewayNames = ({ spec }: Network): string[] => spec.exposure.hostnames

const unique = (values: readonly string[]): string[] => [...new Set(values)]

const time = (ms: number): string => new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z')
