import { redisFault } from '../../contract/redis-access.ts'
import { RedisUnavailable } from '../redis/open-redis.ts'
import { StoreError, type StoreErrorCode } from './store-error.ts'

/** Words of `redisFault`, and our own: `FENCED`, `NOTOWNER` and `TOONEW` by the scripts, `BUSY` and `NOT_OPEN` by the store. */
const CODES: Record<string, StoreErrorCode> = {
  BUSY: 'STORE_UNAVAILABLE',
  FENCED: 'STORE_CLOSED',
  NOTOWNER: 'STORE_CLOSED',
  NOT_OPEN: 'STORE_CLOSED',
  OOM: 'STORE_FULL',
  TOONEW: 'STORE_TOO_NEW',
  ERR: 'STORE_FAILED',
  WRONGTYPE: 'STORE_FAILED',
  UNKNOWN: 'STORE_FAILED',
}

const REASONS: Record<string, string> = {
  BUSY: 'Redis is out of reach, and no more can wait for it',
  FENCED: 'another broker has taken it over',
  NOTOWNER: 'another worker delivers its routes',
  NOT_OPEN: 'it is not open',
  OOM: 'Redis has no memory left',
  TOONEW: 'it was written by a later version',
}

/** `name`: how the store is called in the message. */
export function describeFault(name: string, fault: string): StoreError {
  return new StoreError(
    CODES[fault] ?? 'STORE_UNAVAILABLE',
    `${name}: ${REASONS[fault] ?? `Redis failed with ${fault}`}`,
  )
}

export function toStoreError(name: string, error: unknown): StoreError {
  return error instanceof StoreError ? error : describeFault(name, faultOf(error))
}

/** undefined: nothing was heard at all. */
export function faultOf(error: unknown): string {
  return error instanceof RedisUnavailable ? error.fault : error === undefined ? 'TIMEOUT' : redisFault(error)
}
