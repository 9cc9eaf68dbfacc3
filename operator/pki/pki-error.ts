/** Stable words for what is wrong with certificate or key material; match on these, never on the text. */
export type PkiErrorCode =
  | 'CERTIFICATE_UNREADABLE'
  | 'PRIVATE_KEY_UNREADABLE'
  | 'KEY_MISMATCH'
  | 'KEY_UNSUPPORTED'
  | 'NOT_A_CA'
  | 'CA_EXPIRED'
  | 'INVALID_NAME'
  | 'INVALID_DURATION'
  | 'INVALID_SERIAL'

/** Bad material from outside. The message names the field, what was expected and what came; never a key. */
export class PkiError extends Error {
  override readonly name = 'PkiError'
  readonly code: PkiErrorCode
  /** Dotted path of the argument that is wrong, such as `ca.privateKeyPem`. */
  readonly field: string

  constructor(code: PkiErrorCode, field: string, problem: string) {
    super(`${field}: ${problem}`)
    this.code = code
    this.field = field
  }
}
