/**
 * Stable codes of a store that cannot do its work:
 *
 * - `STORE_IN_USE`: another process (or another store of this one) holds the file.
 * - `STORE_CORRUPT`: the file is damaged or is no database at all.
 * - `STORE_FOREIGN`: a database, but not one of ours.
 * - `STORE_TOO_NEW`: written by a later version, whose tables this one would misread.
 * - `STORE_FULL`: the disk or memory, or the store's own bound in bytes, is full.
 * - `STORE_CLOSED`: not open yet, closed, or taken over by another broker.
 * - `STORE_UNAVAILABLE`: the server that keeps it is out of reach, and no more can wait for it.
 * - `STORE_FAILED`: anything else; the cause tells more.
 */
export type StoreErrorCode =
  | 'STORE_IN_USE'
  | 'STORE_CORRUPT'
  | 'STORE_FOREIGN'
  | 'STORE_TOO_NEW'
  | 'STORE_FULL'
  | 'STORE_CLOSED'
  | 'STORE_UNAVAILABLE'
  | 'STORE_FAILED'

/** A fault of the store. The message names the file or hub, never a key or a payload. */
export class StoreError extends Error {
  override readonly name = 'StoreError'
  readonly code: StoreErrorCode

  constructor(code: StoreErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
  }
}
