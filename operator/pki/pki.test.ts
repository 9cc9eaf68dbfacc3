import { X509Certificate } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { createCa } from './certificate-authority.ts'
import { facts, fingerprint, needsRenewal } from './facts.ts'
import { issueDeviceCertificate, issueServerCertificate } from './issue.ts'
import { DAY, HOUR, makeCa, NOW, ODD_NAMES, serial } from './pki.fixture.ts'
import type { PkiError } from './pki-error.ts'
import { newSerial } from './profile.ts'

const ca = await makeCa('ECDSA-P256')

const device = (overrides: Partial<Parameters<typeof issueDeviceCertificate>[0]> = {}) =>
  issueDeviceCertificate({
    ca,
    commonName: 'thermometer',
    keyAlgorithm: 'ECDSA-P256',
    duration: 30 * DAY,
    now: NOW,
    serial: serial(),
    ...overrides,
  })

const failure = (promise: Promise<unknown>): Promise<PkiError> =>
  promise.then(
    () => expect.unreachable('expected a refusal'),
    (error: PkiError) => error,
  )

describe('newSerial', () => {
  it('is positive and 20 bytes long whatever the randomness gives', () => {
    expect(newSerial((size) => new Uint8Array(size).fill(0xff))).toBe(`7f${'ff'.repeat(19)}`)
    expect(newSerial((size) => new Uint8Array(size))).toBe(`40${'00'.repeat(19)}`)
  })
})

describe('issueDeviceCertificate', () => {
  it.each(ODD_NAMES)('takes the name %j literally', async (commonName) => {
    const { certificatePem } = await device({ commonName })
    expect(facts(certificatePem).commonName).toBe(commonName)
    expect(new X509Certificate(certificatePem).toLegacyObject().subject).toEqual({ CN: commonName })
  })

  it('back-dates by an hour, so that a slow clock accepts it at once', async () => {
    const { notBefore, notAfter } = facts((await device({ ca: await oldCa() })).certificatePem)
    expect(notBefore).toBe(Math.floor((NOW - HOUR) / 1000) * 1000)
    expect(notAfter).toBe(Math.floor((NOW + 30 * DAY) / 1000) * 1000)
  })

  it('never starts before its CA nor outlives it', async () => {
    const { notBefore, notAfter } = facts((await device({ duration: 100_000 * DAY })).certificatePem)
    const authority = facts(ca.certificatePem)
    expect([notBefore, notAfter]).toEqual([authority.notBefore, authority.notAfter])
  })

  it('writes dates after 2049 so that they read back', async () => {
    const longCa = await createCa({
      commonName: 'long',
      keyAlgorithm: 'ECDSA-P256',
      now: NOW,
      days: 36_500,
      serial: serial(),
    })
    const { certificatePem } = await device({ ca: longCa, duration: 20_000 * DAY })
    expect(facts(certificatePem).notAfter).toBe(Math.floor((NOW + 20_000 * DAY) / 1000) * 1000)
  })

  it('carries the serial number it was given', async () => {
    const given = serial()
    expect(facts((await device({ serial: given })).certificatePem).serial).toBe(given)
  })

  it('makes a new key each time', async () => {
    const [first, second] = [await device(), await device()]
    expect(first.privateKeyPem).not.toBe(second.privateKeyPem)
  })

  it.each([
    ['an empty name', { commonName: '' }, 'INVALID_NAME', 'commonName'],
    ['a name of 65 characters', { commonName: 'x'.repeat(65) }, 'INVALID_NAME', 'commonName'],
    ['a name with a NUL in it', { commonName: 'a\0b' }, 'INVALID_NAME', 'commonName'],
    ['a negative duration', { duration: -1 }, 'INVALID_DURATION', 'duration'],
    ['a duration that is no number', { duration: Number.NaN }, 'INVALID_DURATION', 'duration'],
    ['a negative serial', { serial: `80${'00'.repeat(19)}` }, 'INVALID_SERIAL', 'serial'],
    ['a zero serial', { serial: '00'.repeat(20) }, 'INVALID_SERIAL', 'serial'],
    ['a serial that is no hex', { serial: 'zz'.repeat(20) }, 'INVALID_SERIAL', 'serial'],
  ])('refuses %s and names the field', async (_, overrides, code, field) => {
    expect(await failure(device(overrides))).toMatchObject({ code, field })
  })
})

describe('the CA that signs', () => {
  it('is refused when certificate and key do not belong together', async () => {
    const other = await makeCa('ECDSA-P256')
    const error = await failure(device({ ca: { ...ca, privateKeyPem: other.privateKeyPem } }))
    expect(error).toMatchObject({ code: 'KEY_MISMATCH', field: 'ca.privateKeyPem' })
  })

  it('is refused when it is a device certificate', async () => {
    expect(await failure(device({ ca: await device() }))).toMatchObject({ code: 'NOT_A_CA' })
  })

  it('is refused once it has expired', async () => {
    const error = await failure(device({ now: NOW + 4000 * DAY }))
    expect(error).toMatchObject({ code: 'CA_EXPIRED', field: 'ca.certificatePem' })
  })

  it.each([
    ['text that is no PEM', 'hello', 'none'],
    [
      'a PEM with garbage inside',
      '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----',
      'cannot be read',
    ],
    ['an empty text', '', 'none'],
  ])('is refused, field named, when the certificate is %s', async (_, certificatePem, got) => {
    const error = await failure(device({ ca: { ...ca, certificatePem } }))
    expect(error).toMatchObject({ code: 'CERTIFICATE_UNREADABLE', field: 'ca.certificatePem' })
    expect(error.message).toContain('ca.certificatePem: expected a PEM certificate')
    expect(error.message).toContain(got)
  })

  it('is refused without a word of the key when the key cannot be read', async () => {
    const broken = ca.privateKeyPem.replace('MIG', 'AAA')
    const error = await failure(device({ ca: { ...ca, privateKeyPem: broken } }))
    expect(error).toMatchObject({ code: 'PRIVATE_KEY_UNREADABLE', field: 'ca.privateKeyPem' })
    expect(error.message + error.stack).not.toContain(broken.split('\n')[1])
  })
})

describe('issueServerCertificate', () => {
  const server = (dnsNames: string[], ipAddresses: string[]) =>
    issueServerCertificate({
      ca,
      dnsNames,
      ipAddresses,
      keyAlgorithm: 'ECDSA-P256',
      duration: DAY,
      now: NOW,
      serial: serial(),
    })

  it('is valid for every name and address', async () => {
    const { certificatePem } = await server(
      ['localhost', '*.example.com'],
      ['127.0.0.1', '::1', '2001:db8::5'],
    )
    const parsed = new X509Certificate(certificatePem)
    expect(parsed.checkHost('localhost')).toBe('localhost')
    expect(parsed.checkHost('hub.example.com')).toBe('*.example.com')
    expect(parsed.checkHost('example.org')).toBeUndefined()
    for (const address of ['127.0.0.1', '::1', '2001:db8::5']) expect(parsed.checkIP(address)).toBe(address)
  })

  it('takes another CN when the first name is longer than a CN may be', async () => {
    const long = `${'a'.repeat(60)}.example.com`
    const { certificatePem } = await server([long, 'hub.example.com'], [])
    expect(facts(certificatePem).commonName).toBe('hub.example.com')
    expect(new X509Certificate(certificatePem).checkHost(long)).toBe(long)
  })

  it.each([
    ['nothing to be valid for', [], [], 'dnsNames'],
    ['a DNS name with a space', ['ok', 'a b'], [], 'dnsNames[1]'],
    ['an address that is none', [], ['127.0.0.1', '127.0.0.256'], 'ipAddresses[1]'],
  ])('refuses %s and names the field', async (_, dnsNames, ipAddresses, field) => {
    expect(await failure(server(dnsNames, ipAddresses))).toMatchObject({ code: 'INVALID_NAME', field })
  })
})

describe('facts', () => {
  it('agree with what OpenSSL reads', async () => {
    const { certificatePem } = await device()
    const parsed = new X509Certificate(certificatePem)
    const openssl = parsed.fingerprint256.replaceAll(':', '').toLowerCase()
    expect(facts(certificatePem)).toEqual({
      fingerprint: openssl,
      commonName: 'thermometer',
      notBefore: parsed.validFromDate.getTime(),
      notAfter: parsed.validToDate.getTime(),
      serial: parsed.serialNumber.toLowerCase(),
      issuer: 'CN=garden device CA',
    })
    expect(fingerprint(certificatePem)).toBe(openssl)
  })

  it('are those of the leaf when a whole chain is given', async () => {
    const { certificatePem } = await device()
    expect(facts(`${certificatePem}${ca.certificatePem}`).commonName).toBe('thermometer')
  })

  it('name the field when the text is no certificate', () => {
    expect(() => facts(ca.privateKeyPem, 'spec.certificate.provided.pem')).toThrow(
      'spec.certificate.provided.pem: expected a PEM certificate, got none',
    )
  })
})

describe('needsRenewal', () => {
  it.each([
    ['is not due with more time left', 10 * DAY + 1, false],
    ['is not due with exactly that time left', 10 * DAY, false],
    ['is due with less time left', 10 * DAY - 1, true],
    ['is due when it has expired', -DAY, true],
  ])('%s', (_, left, expected) => {
    expect(needsRenewal({ notAfter: NOW + left }, 10 * DAY, NOW)).toBe(expected)
  })
})

/** Older than the back-dating, so that it does not cut it. */
function oldCa() {
  const now = NOW - 10 * DAY
  return createCa({ commonName: 'old', keyAlgorithm: 'ECDSA-P256', now, days: 365, serial: serial() })
}
