import { describe, expect, it } from 'vitest'
import { MqttClient } from '../test-support/mqtt-client.ts'
import { openLink } from '../test-support/mqtt-link.ts'
import { type MadeCertificate, makeCertificate } from '../test-support/openssl.ts'
import { DevProcess, Workspace } from './dev-process.fixture.ts'

const indented = (pem: string) => pem.trim().replaceAll(/^/gm, '        ')

async function workspaceWith(ca: MadeCertificate, challenge: MadeCertificate): Promise<Workspace> {
  const workspace = await Workspace.make()
  workspace.edit('hub.yaml', (text) =>
    text.replace(
      /^spec:\n/m,
      `spec:\n  deviceCA:\n    provided:\n      certificate: |\n${indented(ca.certPem)}\n` +
        `      challengeCertificate: |\n${indented(challenge.certPem)}\n`,
    ),
  )
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
