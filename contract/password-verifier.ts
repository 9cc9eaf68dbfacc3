import { scrypt, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'

/**
 * Passwords of devices are stored as `scrypt$N$r$p$salt$hash`, the last two in base64url (design §8.8). The
 * operator and `hublet dev` create verifiers, brokers check against them; nothing else ever sees the password.
 */

const deriveKey = promisify<Buffer, Buffer, number, ScryptOptions, Buffer>(scrypt)

interface ScryptOptions {
  N: number
  r: number
  p: number
  maxmem: number
}

/**
 * 16 MiB and some 30 ms of one core a check: the cost that RFC 7914 calls interactive. More would let a
 * reconnect storm of a fleet, or a flood of wrong passwords, occupy a broker for minutes.
 */
const COST = { N: 16_384, r: 8, p: 1 }
const HASH_BYTES = 32

/**
 * A verifier may come from elsewhere, so a broker bounds what it is willing to compute: 64 MiB and 8 times the
 * work of the default.
 */
const MAX_N = 65_536
const MAX_R = 8
const MAX_P = 2
const MIN_N = 1024
export const MIN_SALT_BYTES = 16
const MAX_BASE64_CHARS = 128

interface ParsedVerifier {
  N: number
  r: number
  p: number
  salt: Buffer
  hash: Buffer
}

/**
 * Makes a verifier. Throws a RangeError on an empty password or a salt under 16 bytes. A salt that changes
 * without need changes the verifier, which cuts the device's links: keep the old one while it still matches.
 */
export async function createVerifier(password: Buffer, salt: Buffer): Promise<string> {
  if (password.length === 0) throw new RangeError('password: expected at least 1 byte, got 0')
  if (salt.length < MIN_SALT_BYTES) {
    throw new RangeError(`salt: expected at least ${MIN_SALT_BYTES} bytes, got ${salt.length}`)
  }
  const hash = await derive(password, { ...COST, salt }, HASH_BYTES)
  const { N, r, p } = COST
  return ['scrypt', N, r, p, salt.toString('base64url'), hash.toString('base64url')].join('$')
}

/**
 * Does the password fit? Compared in constant time. A verifier that is malformed or costs more than the bounds
 * fits no password; `isVerifier` tells it beforehand. Trailing NUL bytes do not count, as in every HMAC key.
 * Runs in libuv's pool: the caller bounds how many run at once.
 */
export async function verifyPassword(verifier: string, password: Buffer): Promise<boolean> {
  const parsed = parseVerifier(verifier)
  if (parsed === undefined || password.length === 0) return false
  const actual = await derive(password, parsed, parsed.hash.length)
  return timingSafeEqual(actual, parsed.hash)
}

/** Whether `verifyPassword` can use this text at all. */
export function isVerifier(text: string): boolean {
  return parseVerifier(text) !== undefined
}

function derive(
  password: Buffer,
  { N, r, p, salt }: Omit<ParsedVerifier, 'hash'>,
  bytes: number,
): Promise<Buffer> {
  // OpenSSL counts a little more than the 128·N·r of the algorithm itself.
  return deriveKey(password, salt, bytes, { N, r, p, maxmem: 128 * r * (N + p + 2) })
}

function parseVerifier(text: string): ParsedVerifier | undefined {
  const [scheme, nText, rText, pText, saltText, hashText, ...rest] = text.split('$', 8)
  if (scheme !== 'scrypt' || rest.length > 0) return undefined
  const N = boundedInteger(nText, MIN_N, MAX_N)
  const r = boundedInteger(rText, 1, MAX_R)
  const p = boundedInteger(pText, 1, MAX_P)
  const salt = base64Bytes(saltText, MIN_SALT_BYTES)
  const hash = base64Bytes(hashText, HASH_BYTES)
  if (N === undefined || r === undefined || p === undefined || !salt || !hash) return undefined
  // scrypt is defined for powers of two only (RFC 7914 §6).
  return (N & (N - 1)) === 0 ? { N, r, p, salt, hash } : undefined
}

function boundedInteger(text: string | undefined, min: number, max: number): number | undefined {
  if (text === undefined || !/^[1-9]\d{0,5}$/.test(text)) return undefined
  const value = Number(text)
  return value >= min && value <= max ? value : undefined
}

function base64Bytes(text: string | undefined, minBytes: number): Buffer | undefined {
  if (text === undefined || text.length > MAX_BASE64_CHARS || !/^[\w-]+$/.test(text)) return undefined
  const bytes = Buffer.from(text, 'base64url')
  return bytes.length >= minBytes ? bytes : undefined
}
