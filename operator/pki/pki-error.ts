/** Stable words for what is wrong with certificate or key material; match on these, never on the text. */
export type PkiErrorCode =
  | 'CERTIFICATE_UNREADABLE'
  | 'PRIVATE_KEY_UNREADABLE'
  | 'KEY_MISMATCH'
  | 'KEY_UNSUPPORTED'
  | 'CSR_INVALID'
  | 'NOT_A_CA'
  | 'CA_EXPIRED'
  | 'CHALLENGE_FAILED'
  | 'CRL_INVALID'
  | 'INVALID_NAME'
  | 'INVALID_DURATION'
  | 'INVALID_SERIAL'

/** What is wrong with the material; both texts are for people and never hold a key. */
export interface PkiFault {
  expected: string
  got: string
}

/** Bad material from outside: `field: expected …, got …`. */
export class PkiError extends Error {
  override readonly name = 'PkiError'
  readonly code: PkiErrorCode
  /** Dotted path of the argument that is wrong, such as `ca.privateKeyPem`. */
  readonly field: string
  readonly fault: PkiFault

  constructor(code: PkiErrorCode, field: string, fault: PkiFault) {
    super(`${field}: expected ${fault.expected}, got ${fault.got}`)
    this.code = code
    this.field = field
    this.fault = fault
  }
}
