import { writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openssl } from '../../test-support/openssl.ts'
import { runProgram } from '../../test-support/run-program.ts'
import { makeTempDir } from '../../test-support/temp-dir.ts'
import { readCsr } from './csr.ts'
import { issueDeviceCertificate, issueEnrolledCertificate, issueServerCertificate } from './issue.ts'
import { ALGORITHMS, DAY, makeCa, NOW, ODD_NAMES, serial } from './pki.fixture.ts'

/** `scripts/test-tools.sh` builds it where none is installed. */
const BUILT = join(import.meta.dirname, '../../.cache/tools')
/**
 * Rules of root programs for public web sites: names in public domains, revocation for browsers, a legal person as
 * issuer. A hub's own authorities have none of these; what the RFCs say holds.
 */
const PUBLIC_WEB = [
  ...['CABF_BR', 'CABF_EV', 'CABF_CS_BR', 'CABF_SMIME_BR', 'ETSI_ESI'],
  ...['Apple', 'Chrome', 'Mozilla'],
]

const folder = makeTempDir('zlint')

/** Names of lints that found an error, by certificate; and how many lints looked. */
async function lint(certificates: Readonly<Record<string, string>>) {
  const files = Object.entries(certificates).map(([name, pem], index) => {
    const path = join(folder, `${index}.pem`)
    writeFileSync(path, pem)
    return { name, path }
  })
  const { stdout, stderr, code } = await runProgram(
    'zlint',
    ['-excludeSources', PUBLIC_WEB.join(','), ...files.map(({ path }) => path)],
    { env: { PATH: `${BUILT}${delimiter}${process.env['PATH']}` }, timeoutMs: 60_000 },
  )
  expect(code, stderr).toBe(0)
  const reports = stdout
    .toString()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, { result: string }>)
  const errors = reports.flatMap((report, index) =>
    Object.entries(report)
      .filter(([, { result }]) => result === 'error' || result === 'fatal')
      .map(([name]) => `${files[index]?.name}: ${name}`),
  )
  const looked = reports.map(
    (report) => Object.values(report).filter(({ result }) => result === 'pass').length,
  )
  return { errors, looked }
}

/** Of a key that openssl made. */
async function enrolledCertificate(algorithm: readonly string[], ca: Awaited<ReturnType<typeof makeCa>>) {
  const key = join(folder, 'enrolled.key')
  await openssl(['genpkey', ...algorithm, '-out', key])
  const { stdout } = await openssl(['req', '-new', '-key', key, '-subj', '/CN=gate', '-outform', 'DER'])
  const csr = await readCsr(stdout)
  const request = { ca, commonName: csr.commonName, key: csr, duration: 90 * DAY, now: NOW, serial: serial() }
  return await issueEnrolledCertificate(request)
}

describe.each(ALGORITHMS)('certificates of a CA of %s', (keyAlgorithm) => {
  it('have no error that zlint finds, whatever the name of the device', { timeout: 120_000 }, async () => {
    const ca = await makeCa(keyAlgorithm)
    const common = { ca, keyAlgorithm, duration: 365 * DAY, now: NOW }
    const certificates: Record<string, string> = { ca: ca.certificatePem }
    for (const commonName of ODD_NAMES) {
      const made = await issueDeviceCertificate({ ...common, commonName, serial: serial() })
      certificates[`device ${commonName}`] = made.certificatePem
    }
    const server = await issueServerCertificate({
      ...common,
      dnsNames: ['hub-home', 'hub-home.default.svc', '*.example.com'],
      ipAddresses: ['127.0.0.1', '::1'],
      serial: serial(),
    })
    certificates['server'] = server.certificatePem
    const keys = {
      'P-384': ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-384'],
      'RSA-3072': ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:3072'],
      Ed25519: ['-algorithm', 'ED25519'],
    }
    for (const [name, algorithm] of Object.entries(keys))
      certificates[`enrolled ${name}`] = await enrolledCertificate(algorithm, ca)
    const { errors, looked } = await lint(certificates)
    expect(errors).toEqual([])
    expect(looked).toHaveLength(Object.keys(certificates).length)
    // A linter that looks at nothing finds nothing.
    expect(Math.min(...looked)).toBeGreaterThan(20)
  })
})
