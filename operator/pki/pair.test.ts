import { describe, expect, it } from 'vitest'
import { issueDeviceCertificate, issueServerCertificate } from './issue.ts'
import { isIssuedBy, isValidFor, readPair } from './pair.ts'
import { ALGORITHMS, DAY, makeCa, NOW, serial } from './pki.fixture.ts'

const ca = await makeCa('ECDSA-P256')
const device = () =>
  issueDeviceCertificate({
    ca,
    commonName: 'lamp',
    keyAlgorithm: 'ECDSA-P256',
    duration: DAY,
    now: NOW,
    serial: serial(),
  })

describe('readPair', () => {
  it.each(ALGORITHMS)('knows an authority of %s', async (algorithm) => {
    expect(readPair(await makeCa(algorithm), 'ca').keyAlgorithm).toBe(algorithm)
  })

  it('gives the facts of the certificate', async () => {
    expect(readPair(await device(), 'spec').facts.commonName).toBe('lamp')
  })

  it('names the part that does not fit', async () => {
    const [one, other] = [await device(), await device()]
    const mixed = { ...one, privateKeyPem: other.privateKeyPem }
    expect(() => readPair(mixed, 'spec.serverTLS.secretRef')).toThrow(
      'spec.serverTLS.secretRef[tls.key]: expected the key of tls.crt, got another one',
    )
    expect(() => readPair({ ...one, certificatePem: 'x' }, 'spec.serverTLS.secretRef')).toThrow(
      'spec.serverTLS.secretRef[tls.crt]: expected a PEM certificate, got none',
    )
  })
})

describe('isIssuedBy', () => {
  it('is true of the authority that signed, and of no other one with the same name', async () => {
    const { certificatePem } = await device()
    const other = await makeCa('ECDSA-P256')
    expect(isIssuedBy(certificatePem, ca.certificatePem)).toBe(true)
    expect(isIssuedBy(certificatePem, other.certificatePem)).toBe(false)
  })
})

describe('isValidFor', () => {
  it('wants every name and every address to be there', async () => {
    const { certificatePem } = await issueServerCertificate({
      ca,
      dnsNames: ['localhost', '*.example.com'],
      ipAddresses: ['127.0.0.1', '::1'],
      keyAlgorithm: 'ECDSA-P256',
      duration: DAY,
      now: NOW,
      serial: serial(),
    })
    const valid = (dnsNames: string[], ipAddresses: string[] = []) =>
      isValidFor(certificatePem, { dnsNames, ipAddresses })
    expect(valid(['*.example.com', 'localhost'], ['0:0:0:0:0:0:0:1', '127.0.0.1'])).toBe(true)
    expect(valid(['example.com'])).toBe(false)
    expect(valid(['hub.example.com'])).toBe(false)
    expect(valid([], ['127.0.0.2'])).toBe(false)
  })
})
