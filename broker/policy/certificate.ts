import type { DeviceRecord, HubRecord, RevocationList } from '../../contract/hub-state.ts'
import type { LinkFacts, PeerCertificate } from './link.ts'

export interface CertificateFault {
  standing: 'Revoked' | 'Invalid'
  /** For the log; holds nothing that the client could use. */
  why: string
}

/** The certificate that counts: on a link without encryption there is none, whatever a proxy may claim. */
export function certificateOf(link: LinkFacts): PeerCertificate | undefined {
  return link.encrypted ? link.peerCertificate : undefined
}

/**
 * Why `certificate` does not prove `device` (spec §2.4, design §3 and §8.12); undefined: it does. The same
 * question is asked at CONNECT and again of every live link when the hub or the device changes.
 */
export function certificateFault(
  certificate: PeerCertificate,
  device: DeviceRecord,
  hub: HubRecord,
  now: number,
): CertificateFault | undefined {
  // Not limited by `until`: after it the date check refuses the certificate as well.
  if (device.revokedFingerprints.some(({ fingerprint }) => fingerprint === certificate.fingerprint)) {
    return { standing: 'Revoked', why: 'the certificate is revoked' }
  }
  const listed = listFault(certificate, hub, now)
  if (listed?.standing === 'Revoked') return listed
  const why = dateFault(certificate, now) ?? proofFault(certificate, device, hub)
  return why === undefined ? listed : { standing: 'Invalid', why }
}

/** What the lists of the hub say of a certificate, whosever it is; undefined: nothing. */
export function listFault(
  { fingerprint, issued }: PeerCertificate,
  { deviceTrust: { revocationLists = [] }, revokedFingerprints = [] }: HubRecord,
  now: number,
): CertificateFault | undefined {
  if (revokedFingerprints.some((revoked) => revoked.fingerprint === fingerprint))
    return { standing: 'Revoked', why: 'the certificate is that of a device that was revoked and deleted' }
  if (issued === undefined) return undefined
  const lists = revocationLists.filter(({ issuers }) => issuers.includes(issued.by))
  if (lists.some((list) => serialsOf(list).has(issued.serial)))
    return { standing: 'Revoked', why: 'the certificate is on the revocation list of its CA' }
  if (lists.some((list) => isOutdated(list, now)))
    return { standing: 'Invalid', why: 'the revocation list of the CA is out of date' }
  return undefined
}

/** Whether a list has become a reason to refuse whatever its CA has signed. */
export const isOutdated = ({ refuseAfter }: RevocationList, now: number): boolean =>
  refuseAfter !== undefined && !(now < Date.parse(refuseAfter))

/** A list has thousands, and each CONNECT asks. */
const sets = new WeakMap<RevocationList, ReadonlySet<string>>()

function serialsOf(list: RevocationList): ReadonlySet<string> {
  const set = sets.get(list) ?? new Set(list.serials)
  sets.set(list, set)
  return set
}

/** Dates count for every kind of certificate, also where its CA is not looked at. */
export function dateFault(certificate: PeerCertificate, now: number): string | undefined {
  if (now < certificate.notBefore) return 'the certificate is not valid yet'
  if (now > certificate.notAfter) return 'the certificate has expired'
  return undefined
}

function proofFault(certificate: PeerCertificate, device: DeviceRecord, hub: HubRecord): string | undefined {
  switch (device.certificate.source) {
    case 'Managed':
      // Taking an own CA voids every certificate that the managed one had issued (spec §1.6).
      if (hub.deviceTrust.mode !== 'Managed') return 'the hub has an own CA and issues no certificates'
      return fingerprintFault(certificate, device)
    case 'Provided':
      return fingerprintFault(certificate, device)
    case 'HubCA':
      if (hub.deviceTrust.mode !== 'HubCA') return 'the hub has no own CA'
      if (!certificate.chainTrusted) return `the chain is not trusted: ${certificate.chainError ?? 'unknown'}`
      if (certificate.commonName === '') return 'the certificate has no common name'
      return certificate.commonName === device.name ? undefined : 'the common name is not that of the device'
    case 'None':
      return 'the device has no certificate'
  }
}

function fingerprintFault(certificate: PeerCertificate, device: DeviceRecord): string | undefined {
  return device.certificate.fingerprints.includes(certificate.fingerprint)
    ? undefined
    : 'the certificate is not that of the device'
}
