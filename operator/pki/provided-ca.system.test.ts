import { describe, expect, it } from 'vitest'
import { makeCertificate } from '../../test-support/openssl.ts'
import { openProvidedCa } from './provided-ca.ts'

const NAMES = ['5a0f1b7e-2d0c-4f0e-9d55-3f1f5a5f7e10', 'garden.default']
const at = { field: 'spec.deviceCA.provided', names: NAMES, now: Date.now() }

async function provided(challenge: { commonName?: string; issuer?: 'Own' | 'Other' } = {}) {
  const own = await makeCertificate({ commonName: 'my CA', authority: true })
  const other = await makeCertificate({ commonName: 'my CA', authority: true })
  const signed = await makeCertificate({
    commonName: challenge.commonName ?? NAMES[0]!,
    issuer: challenge.issuer === 'Other' ? other : own,
  })
  return { certificate: own.certPem, challengeCertificate: signed.certPem }
}

describe('a CA of the user, its certificates made by openssl', () => {
  it.each(NAMES)('is taken when its challenge carries the name %s', async (commonName) => {
    const certificates = openProvidedCa(await provided({ commonName }), at)
    expect(certificates).toHaveLength(1)
    expect(certificates[0]).toContain('BEGIN CERTIFICATE')
  })

  it('may have intermediates, and the challenge may come from one of them', async () => {
    const root = await makeCertificate({ commonName: 'root', authority: true })
    const middle = await makeCertificate({ commonName: 'middle', authority: true, issuer: root })
    const challenge = await makeCertificate({ commonName: NAMES[1]!, issuer: middle })
    const certificate = `${root.certPem}\n${middle.certPem}`
    expect(openProvidedCa({ certificate, challengeCertificate: challenge.certPem }, at)).toHaveLength(2)
  })

  it('may be of RSA', async () => {
    const ca = await makeCertificate({ commonName: 'rsa', authority: true, keyType: 'RSA-2048' })
    const challenge = await makeCertificate({ commonName: NAMES[0]!, issuer: ca, keyType: 'RSA-2048' })
    const found = openProvidedCa({ certificate: ca.certPem, challengeCertificate: challenge.certPem }, at)
    expect(found).toHaveLength(1)
  })

  it('is refused when another CA of the same name signed the challenge', async () => {
    const wrong = await provided({ issuer: 'Other' })
    expect(() => openProvidedCa(wrong, at)).toThrow(
      'spec.deviceCA.provided.challengeCertificate: expected a certificate that the CA signed, got another one',
    )
  })

  it('is refused when the challenge was made for another hub', async () => {
    const wrong = await provided({ commonName: 'orchard.default' })
    expect(() => openProvidedCa(wrong, at)).toThrow(/expected the common name .* got "orchard.default"/)
  })

  it('is refused when it is no CA, has expired or cannot be read', async () => {
    const leaf = await makeCertificate({ commonName: 'leaf' })
    const past = { notBefore: new Date(at.now - 9_000_000), notAfter: new Date(at.now - 1_000) }
    const old = await makeCertificate({ commonName: 'old', authority: true, ...past })
    const { challengeCertificate } = await provided()
    const codeOf = (certificate: string) => {
      try {
        openProvidedCa({ certificate, challengeCertificate }, at)
        return 'taken'
      } catch (error) {
        return (error as { code: string }).code
      }
    }
    expect(codeOf(leaf.certPem)).toBe('NOT_A_CA')
    expect(codeOf(old.certPem)).toBe('CA_EXPIRED')
    expect(codeOf('nothing')).toBe('CERTIFICATE_UNREADABLE')
  })
})
