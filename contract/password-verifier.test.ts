import { scryptSync } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { createVerifier, isVerifier, verifyPassword } from './password-verifier.ts'

const SALT = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex')
const password = (text: string) => Buffer.from(text)

/** A verifier by Node's synchronous scrypt, so that the format is checked against something else than itself. */
function verifierOf(text: string, { N = 1024, r = 8, p = 1, bytes = 32 } = {}): string {
  const hash = scryptSync(text, SALT, bytes, { N, r, p, maxmem: 256 * 1024 * 1024 })
  return `scrypt$${N}$${r}$${p}$${SALT.toString('base64url')}$${hash.toString('base64url')}`
}

describe('createVerifier', () => {
  it('writes scheme, cost, salt and the scrypt hash, and nothing of the password', async () => {
    const verifier = await createVerifier(password('swordfish'), SALT)
    expect(verifier).toBe(verifierOf('swordfish', { N: 16_384 }))
    expect(verifier).not.toContain('swordfish')
    expect(isVerifier(verifier)).toBe(true)
  })

  it('gives one password two verifiers under two salts', async () => {
    const other = Buffer.alloc(16, 7)
    expect(await createVerifier(password('x'), SALT)).not.toBe(await createVerifier(password('x'), other))
  })

  it('refuses an empty password and a short salt', async () => {
    await expect(createVerifier(password(''), SALT)).rejects.toThrow(
      'password: expected at least 1 byte, got 0',
    )
    await expect(createVerifier(password('x'), SALT.subarray(1))).rejects.toThrow(
      'salt: expected at least 16 bytes, got 15',
    )
  })
})

describe('verifyPassword', () => {
  it('takes the password and nothing near it', async () => {
    const verifier = await createVerifier(password('swordfish'), SALT)
    expect(await verifyPassword(verifier, password('swordfish'))).toBe(true)
    for (const wrong of ['', 'Swordfish', 'swordfish ', 'swordfis', '\0swordfish']) {
      expect(await verifyPassword(verifier, password(wrong))).toBe(false)
    }
  })

  it('takes any bytes, up to the longest an MQTT password can have', async () => {
    const long = Buffer.alloc(65_535, 0xff)
    const verifier = await createVerifier(long, SALT)
    expect(await verifyPassword(verifier, long)).toBe(true)
    expect(await verifyPassword(verifier, long.subarray(1))).toBe(false)
  })

  it('uses the cost that the verifier names', async () => {
    const verifier = verifierOf('swordfish', { N: 2048, r: 4, p: 2, bytes: 64 })
    expect(await verifyPassword(verifier, password('swordfish'))).toBe(true)
    expect(await verifyPassword(verifier.replace('$2048$', '$4096$'), password('swordfish'))).toBe(false)
  })

  const good = verifierOf('swordfish')
  const malformed: Record<string, string> = {
    'an empty text': '',
    'another scheme': good.replace('scrypt', 'argon2'),
    'a part too few': good.split('$').slice(0, 5).join('$'),
    'a part too many': `${good}$x`,
    'many parts': `${good}${'$'.repeat(1000)}`,
    'no hash': good.replace(/\$[^$]*$/, '$'),
    'a short hash, which more passwords would fit': good.slice(0, -30),
    'a short salt': good.replace(SALT.toString('base64url'), 'AAAA'),
    'a salt that is no base64url': good.replace(SALT.toString('base64url'), '*'.repeat(24)),
    'a cost that is no power of two': good.replace('$1024$', '$1025$'),
    'a cost too low to protect': good.replace('$1024$', '$512$'),
    'a cost that would take 1 GiB': good.replace('$1024$', '$1048576$'),
    'a huge cost': good.replace('$1024$', '$99999999999999999999$'),
    'a negative cost': good.replace('$1024$', '$-1024$'),
    'a hexadecimal cost': good.replace('$1024$', '$0x400$'),
    'a block size over the bound': good.replace('$8$1$', '$64$1$'),
    'a parallelism over the bound': good.replace('$8$1$', '$8$16$'),
    'a hash of megabytes': `${good}${'A'.repeat(1_000_000)}`,
  }
  it.each(Object.entries(malformed))('takes no password for a verifier with %s', async (_, verifier) => {
    expect(isVerifier(verifier)).toBe(false)
    expect(await verifyPassword(verifier, password('swordfish'))).toBe(false)
  })

  it('computes at the bounds of cost', async () => {
    const verifier = verifierOf('x', { N: 65_536, r: 8, p: 2 })
    expect(await verifyPassword(verifier, password('x'))).toBe(true)
  })
})
