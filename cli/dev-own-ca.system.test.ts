import { describe, expect, it } from 'vitest'
import { MqttClient } from '../test-support/mqtt-client.ts'
import { openLink } from '../test-support/mqtt-link.ts'
import { type MadeCertificate, makeCertificate, makeCrl } from '../test-support/openssl.ts'
import { waitUntil } from '../test-support/wait.ts'
import { DevProcess, Workspace } from './dev-process.fixture.ts'

const indented = (pem: string) => pem.trim().replaceAll(/^/gm, '        ')

const deviceCa = (ca: MadeCertificate, challenge: MadeCertificate, rest = '') =>
  `spec:\n  deviceCA:\n${rest}    provided:\n      certificate: |\n${indented(ca.certPem)}\n` +
  `      challengeCertificate: |\n${indented(challenge.certPem)}\n`

async function workspaceWith(ca: MadeCertificate, challenge: MadeCertificate): Promise<Workspace> {
  const workspace = await Workspace.make()
  workspace.edit('hub.yaml', (text) => text.replace(/^spec:\n/m, deviceCa(ca, challenge)))
  return workspace
}

async function connect(dev: DevProcess, listener: 'mqtts' | 'wss', certificate: MadeCertificate) {
  const tls = { cert: certificate.certPem, key: certificate.keyPem }
  const client = new MqttClient(await openLink({ listener, port: dev.port(listener), tls }))
  const { returnCode } = await client.connect({ clientId: `${listener}-test` })
  client.close()
  return returnCode
}

describe('a hub with a CA of the user', () => {
  it('lets in who shows a certificate of that CA with the name of a device, on TLS and WebSocket', async () => {
    const ca = await makeCertificate({ commonName: 'our CA', authority: true })
    const challenge = await makeCertificate({ commonName: 'garden.default', issuer: ca })
    const workspace = await workspaceWith(ca, challenge)
    const dev = await DevProcess.start(workspace)
    const own = await makeCertificate({ commonName: 'thermometer', issuer: ca })
    const unknown = await makeCertificate({ commonName: 'stranger', issuer: ca })
    const elsewhere = await makeCertificate({ commonName: 'other CA', authority: true })
    const forged = await makeCertificate({ commonName: 'thermometer', issuer: elsewhere })
    for (const listener of ['mqtts', 'wss'] as const) {
      expect(await connect(dev, listener, own)).toBe(0)
      expect(await connect(dev, listener, unknown)).not.toBe(0)
      expect(await connect(dev, listener, forged)).not.toBe(0)
    }
    // The user issues: nothing of ours lies about that looks as if it let anybody in.
    expect(workspace.dataFiles().filter((file) => /devices.*\.key$/.test(file))).toEqual([])
    expect(await dev.stop()).toBe(0)
  })

  it('gets another CA: both let their devices in, nobody is cut off, and without overlap the old one ends', async () => {
    const [before, after] = await Promise.all(
      ['one', 'two'].map((commonName) => makeCertificate({ commonName, authority: true })),
    )
    const challenge = (issuer: MadeCertificate) => makeCertificate({ commonName: 'garden.default', issuer })
    const workspace = await workspaceWith(before!, await challenge(before!))
    const original = workspace.read('manifests', 'hub.yaml').replace(/^ {2}deviceCA:\n(?: {4}.*\n)+/m, '')
    const follow = async (ca: MadeCertificate, by: MadeCertificate, rest?: string) => {
      const block = deviceCa(ca, await challenge(by), rest)
      workspace.write('hub.yaml', original.replace(/^spec:\n/m, block))
    }
    const dev = await DevProcess.start(workspace)
    const [old, fresh] = await Promise.all(
      [before!, after!].map((issuer) => makeCertificate({ commonName: 'thermometer', issuer })),
    )
    const pump = await makeCertificate({ commonName: 'pump', issuer: before! })
    const tls = { cert: pump.certPem, key: pump.keyPem }
    const live = new MqttClient(await openLink({ listener: 'mqtts', port: dev.port('mqtts'), tls }))
    expect(await live.connect({ clientId: 'live' })).toMatchObject({ returnCode: 0 })

    await follow(after!, before!)
    await dev.waitForLog(/expected a certificate that the CA signed, got another one/, 30_000)
    expect(await connect(dev, 'wss', fresh!)).not.toBe(0)

    await follow(after!, after!)
    await waitUntil('the new CA lets in', async () => (await connect(dev, 'wss', fresh!)) === 0, {
      timeoutMs: 30_000,
    })
    expect(await connect(dev, 'wss', old!)).toBe(0)
    await live.ping()

    await follow(after!, after!, '    overlap: 0s\n')
    await live.closed
    expect(await connect(dev, 'mqtts', old!)).not.toBe(0)
    expect(await connect(dev, 'mqtts', fresh!)).toBe(0)
    expect(await dev.stop()).toBe(0)
  })

  it('honours its revocation list: a live link ends, the certificate is refused, others go on', async () => {
    const ca = await makeCertificate({ commonName: 'our CA', authority: true })
    const challenge = await makeCertificate({ commonName: 'garden.default', issuer: ca })
    const workspace = await workspaceWith(ca, challenge)
    const original = workspace.read('manifests', 'hub.yaml')
    const revoke = async (revoked: MadeCertificate[], whenStale: string, nextUpdate: Date) => {
      const text = await makeCrl({ issuer: ca, revoked, thisUpdate: new Date(0), nextUpdate })
      const secret = `---\napiVersion: v1\nkind: Secret\nmetadata: { name: crl }\nstringData:\n  ca.crl: |\n${indented(text)}\n`
      const crl = `  deviceCA:\n    crl: { secretRef: { name: crl }, whenStale: ${whenStale} }\n`
      workspace.write('hub.yaml', original.replace('  deviceCA:\n', crl) + secret)
    }
    const tomorrow = new Date(Date.now() + 86_400_000)
    const dev = await DevProcess.start(workspace)
    const [lost, kept] = await Promise.all(
      ['thermometer', 'pump'].map((commonName) => makeCertificate({ commonName, issuer: ca })),
    )
    const open = async ({ certPem, keyPem }: MadeCertificate) => {
      const tls = { cert: certPem, key: keyPem }
      const client = new MqttClient(await openLink({ listener: 'mqtts', port: dev.port('mqtts'), tls }))
      expect(await client.connect({ clientId: 'live' })).toMatchObject({ returnCode: 0 })
      return client
    }
    const [first, second] = [await open(lost!), await open(kept!)]
    await revoke([lost!], 'Accept', tomorrow)
    await first.closed
    expect(await connect(dev, 'wss', lost!)).not.toBe(0)
    await second.ping()
    const replacement = await makeCertificate({ commonName: 'thermometer', issuer: ca })
    expect(await connect(dev, 'wss', replacement)).toBe(0)
    // What an intermediate certified that nobody has named here cannot be looked up, and is refused.
    const factory = await makeCertificate({ commonName: 'factory', authority: true, issuer: ca })
    const below = await makeCertificate({ commonName: 'thermometer', issuer: factory })
    const shown = { ...below, certPem: below.certPem + factory.certPem }
    expect(await connect(dev, 'wss', shown)).not.toBe(0)

    // Nobody made another list in time: nobody is locked out, and then, by choice, everybody is.
    const past = new Date(Date.now() - 60_000)
    await revoke([lost!], 'Accept', past)
    await dev.waitForLog(/CRLStale|a newer list was due/, 30_000)
    await second.ping()
    expect(await connect(dev, 'wss', lost!)).not.toBe(0)
    expect(await connect(dev, 'wss', replacement)).toBe(0)
    await revoke([lost!], 'Refuse', past)
    await second.closed
    expect(await connect(dev, 'wss', replacement)).not.toBe(0)
    expect(await dev.stop()).toBe(0)
  })

  it('is not served, and the place is named, when the challenge was made for another hub', async () => {
    const ca = await makeCertificate({ commonName: 'our CA', authority: true })
    const challenge = await makeCertificate({ commonName: 'orchard.default', issuer: ca })
    const dev = new DevProcess(await workspaceWith(ca, challenge))
    expect(await dev.exitCode()).toBe(1)
    expect(dev.log).toMatch(
      /hub\.yaml:\d+: spec\.deviceCA\.provided\.challengeCertificate: expected the common name .*garden\.default, got "orchard\.default"/,
    )
  })
})
