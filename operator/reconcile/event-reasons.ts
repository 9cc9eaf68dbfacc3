/**
 * Reasons of the Kubernetes Events that the operator writes, beside those of conditions: an object that stops being
 * ready raises a Warning with the reason of its Ready condition. Programs match on them, so none changes its meaning.
 */
export const EVENT_REASONS = {
  /** A CA of a hub was made. */
  CACreated: 'CACreated',
  /** A CA took the place of one that was lost, spoiled or about to end. */
  CAReplaced: 'CAReplaced',
  /** A CA was published that is going to take the place of the one that signs. */
  CAAnnounced: 'CAAnnounced',
  ServerCertificateIssued: 'ServerCertificateIssued',
  ServerCertificateRenewed: 'ServerCertificateRenewed',
  /** The certificate of a device took the place of another; the note begins with why. */
  CertificateReplaced: 'CertificateReplaced',
  /** A token was made for a network. */
  TokenIssued: 'TokenIssued',
  /** A client that made itself known could not become a Device. */
  ProvisioningFailed: 'ProvisioningFailed',
  /** The API server does not tell by which keys tokens of ServiceAccounts are verified. */
  TokenKeysUnknown: 'TokenKeysUnknown',
  /** A device that nobody has approved in time was deleted. */
  ApprovalExpired: 'ApprovalExpired',
  /** A hub works as described. */
  Ready: 'Ready',
  /** A hub was let go although its Redis could not be cleaned. */
  RedisKeysLeft: 'RedisKeysLeft',
  /** A device, network or route was let go although brokers may still know it. */
  StillKnown: 'StillKnown',
} as const
