import { beforeAll, describe, expect, it } from 'vitest'
import { type MadeCertificate, makeCertificate, makeCrl, openssl } from '../../test-support/openssl.ts'
import { readCertificate } from './facts.ts'
import { readRevocationLists, revokedCas } from './revocation-list.ts'

// Lists by the openssl program, as a CA of the user's makes them.

let ca: MadeCertificate
let other: MadeCertificate
let lamp: MadeCertificate

beforeAll(async () => {
  ca = await makeCertificate({ commonName: 'our CA', authority: true })
  other = await makeCertificate({ commonName: 'other CA', authority: true, keyType: 'RSA-2048' })
  lamp = await makeCertificate({ commonName: 'lamp', issuer: ca })
})

const read = (text: string | Buffer, ...cas: MadeCertificate[]) =>
  readRevocationLists(Buffer.from(text), { field: 'crl', cas: cas.map(({ certPem }) => certPem) })
const serialOf = ({ certPem }: MadeCertificate) =>
  readCertificate(certPem, 'it').serialNumber.toLowerCase().replace(/^0+/, '')

describe('a revocation list', () => {
  it('tells whose it is, what is revoked and until when it counts', async () => {
    const nextUpdate = new Date('2040-01-01T00:00:00Z')
    const crl = await makeCrl({ issuer: ca, revoked: [lamp], nextUpdate })
    expect(await read(crl, other, ca)).toEqual([
      {
        issuers: [ca.fingerprint],
        serials: [serialOf(lamp)],
        thisUpdate: expect.any(String),
        nextUpdate: '2040-01-01T00:00:00Z',
      },
    ])
  })

  it.each(['P-384', 'RSA-2048', 'Ed25519'] as const)('of a CA with a %s key is read', async (keyType) => {
    const issuer = await makeCertificate({ commonName: 'CA', authority: true, keyType })
    const [list] = await read(await makeCrl({ issuer, revoked: [] }), issuer)
    expect(list).toMatchObject({ issuers: [issuer.fingerprint], serials: [] })
  })

  it('may be DER, and several in PEM may follow one another; one of a CA that is gone counts for nothing', async () => {
    const [first, second] = [
      await makeCrl({ issuer: ca, revoked: [lamp] }),
      await makeCrl({ issuer: other, revoked: [] }),
    ]
    const { stdout } = await openssl(['crl', '-outform', 'DER'], first)
    expect(await read(stdout, ca)).toHaveLength(1)
    const issuers = async (...cas: MadeCertificate[]) =>
      (await read(first + second, ...cas)).flatMap((list) => list.issuers)
    expect(await issuers(ca, other)).toEqual([ca.fingerprint, other.fingerprint])
    expect(await issuers(ca)).toEqual([ca.fingerprint])
  })

  it('of another CA, of the same name even, is refused, as is what is no list or a changed one', async () => {
    const namesake = await makeCertificate({ commonName: 'our CA', authority: true })
    const crl = await makeCrl({ issuer: ca, revoked: [lamp] })
    const notOurs = 'crl: expected a CRL that a CA of the hub has signed, got one of another CA'
    await expect(read(await makeCrl({ issuer: namesake, revoked: [] }), ca)).rejects.toThrow(notOurs)
    await expect(read('nothing', ca)).rejects.toThrow('crl: expected a CRL (PEM or DER), got something else')
    await expect(read(lamp.certPem, ca)).rejects.toMatchObject({ code: 'CRL_INVALID' })
    const { stdout } = await openssl(['crl', '-outform', 'DER'], crl)
    const serial = readCertificate(lamp.certPem, 'it').serialNumber
    const at = stdout.indexOf(Buffer.from(serial, 'hex'))
    expect(at).toBeGreaterThan(0)
    const changed = Buffer.from(stdout)
    // The last byte of the serial number: what is revoked then is another certificate.
    changed[at + serial.length / 2 - 1]! ^= 1
    await expect(read(changed, ca)).rejects.toThrow(notOurs)
  })

  it('that names a CA of the hub takes it out, and no other one', async () => {
    const intermediate = await makeCertificate({ commonName: 'factory', authority: true, issuer: ca })
    const cas = [ca, intermediate, other].map(({ certPem }) => certPem)
    const lists = await read(await makeCrl({ issuer: ca, revoked: [intermediate] }), ca)
    expect(revokedCas(cas, lists)).toEqual([intermediate.certPem])
    expect(revokedCas(cas, await read(await makeCrl({ issuer: ca, revoked: [lamp] }), ca))).toEqual([])
  })
})
