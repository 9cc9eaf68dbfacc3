import { readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { mosquittoPub } from '../test-support/mosquitto.ts'
import { MqttClient } from '../test-support/mqtt-client.ts'
import { openLink } from '../test-support/mqtt-link.ts'
import { type MadeCertificate, makeCertificate } from '../test-support/openssl.ts'
import { runProgram } from '../test-support/run-program.ts'
import { waitUntil } from '../test-support/wait.ts'
import { DevProcess, Workspace } from './dev-process.fixture.ts'

const SOON = 30_000

const indented = (pem: string) => pem.trim().replaceAll(/^/gm, '        ')

async function openHub(provisioning: string): Promise<{ workspace: Workspace; ca: MadeCertificate }> {
  const ca = await makeCertificate({ commonName: 'factory CA', authority: true })
  const challenge = await makeCertificate({ commonName: 'garden.default', issuer: ca })
  const workspace = await Workspace.make()
  workspace.edit('hub.yaml', (text) =>
    text.replace(
      /^spec:\n/m,
      `spec:\n  autoProvisioning: ${provisioning}\n  deviceCA:\n    provided:\n      certificate: |\n` +
        `${indented(ca.certPem)}\n      challengeCertificate: |\n${indented(challenge.certPem)}\n`,
    ),
  )
  return { workspace, ca }
}

async function connect(
  dev: DevProcess,
  { certPem, keyPem }: MadeCertificate,
  listener: 'mqtts' | 'wss' = 'mqtts',
) {
  const tls = { cert: certPem, key: keyPem }
  const client = new MqttClient(await openLink({ listener, port: dev.port(listener), tls }))
  clients += 1
  const { returnCode } = await client.connect({ clientId: `client-${clients}` })
  return { returnCode, client }
}

let clients = 0

const provisionedFiles = (workspace: Workspace) =>
  workspace.dataFiles().filter((file) => /provisioned\/.*\.yaml$/.test(file))

describe('a device that nobody has declared', () => {
  it('becomes one at its first connection, the same one ever after, also over a restart', async () => {
    const { workspace, ca } = await openHub('{ enabled: true }')
    let dev = await DevProcess.start(workspace)
    const sensor = await makeCertificate({ commonName: 'SN-0001', issuer: ca })
    for (const listener of ['mqtts', 'wss', 'mqtts'] as const) {
      const { returnCode, client } = await connect(dev, sensor, listener)
      expect(returnCode).toBe(0)
      await client.publish('a', 'x', { qos: 1 })
      client.close()
    }
    expect(provisionedFiles(workspace)).toHaveLength(1)
    await dev.waitForLog(/device was auto-provisioned/)
    expect(dev.log.match(/device was auto-provisioned/g)).toHaveLength(1)
    expect(await dev.stop()).toBe(0)

    dev = await DevProcess.start(workspace)
    expect((await connect(dev, sensor)).returnCode).toBe(0)
    expect(provisionedFiles(workspace)).toHaveLength(1)
    expect(await dev.stop()).toBe(0)
  })

  it('stays unknown with a certificate of another CA or without a name, or where the hub takes none', async () => {
    const { workspace, ca } = await openHub('{ enabled: true }')
    const dev = await DevProcess.start(workspace)
    const elsewhere = await makeCertificate({ commonName: 'other CA', authority: true })
    const foreign = await makeCertificate({ commonName: 'SN-1', issuer: elsewhere })
    const nameless = await makeCertificate({ commonName: '', issuer: ca })
    expect((await connect(dev, foreign)).returnCode).not.toBe(0)
    expect((await connect(dev, nameless)).returnCode).not.toBe(0)
    await dev.waitForLog(/certificate common name cannot be empty/)
    workspace.edit('hub.yaml', (text) => text.replace('{ enabled: true }', '{ enabled: false }'))
    await dev.waitForLog(/manifests applied/)
    const late = await makeCertificate({ commonName: 'SN-2', issuer: ca })
    expect((await connect(dev, late)).returnCode).not.toBe(0)
    expect(provisionedFiles(workspace)).toEqual([])
    expect(await dev.stop()).toBe(0)
  })

  it('waits for its approval, given by its exported manifest', async () => {
    const { workspace, ca } = await openHub('{ enabled: true, mode: Approve }')
    const dev = await DevProcess.start(workspace)
    const sensor = await makeCertificate({ commonName: 'SN-0001', issuer: ca })
    expect((await connect(dev, sensor)).returnCode).not.toBe(0)
    const exported = await runProgram(process.execPath, [
      `${import.meta.dirname}/main.ts`,
      'export',
      '--data',
      `${workspace.path}/.hublet`,
    ])
    const text = exported.stdout.toString()
    expect(text).toContain('approved: false')
    workspace.write('sensor.yaml', text.replace('approved: false', 'approved: true'))
    await waitUntil('it is let in', async () => (await connect(dev, sensor)).returnCode === 0)
    expect(await dev.stop()).toBe(0)
  })

  it('is in quarantine, by a real client, until hublet approve lets it in; its link goes on', async () => {
    const { workspace, ca } = await openHub(
      '{ enabled: true, mode: Approve, quarantine: { publish: ["quarantine/#"] }, ' +
        'template: { allowMultipleConnections: true } }',
    )
    const hublet = async (...args: string[]) => {
      const argv = [`${import.meta.dirname}/main.ts`, ...args]
      const { code, stdout, stderr } = await runProgram(process.execPath, argv, { cwd: workspace.path })
      return { code, stdout: stdout.toString(), stderr }
    }
    const dev = await DevProcess.start(workspace)
    const dashboard = await dev.connectById('dashboard')
    await dashboard.subscribe('#')
    const sensor = await makeCertificate({ commonName: 'SN-0001', issuer: ca })
    const publish = async (topic: string) =>
      await mosquittoPub({
        port: dev.port('mqtts'),
        cafile: `${workspace.path}/.hublet/garden/ca.crt`,
        cert: sensor.certPath,
        key: sensor.keyPath,
        ...{ topic, payload: 'x', qos: 1 },
      })
    const { returnCode, client } = await connect(dev, sensor, 'wss')
    expect(returnCode).toBe(0)
    for (const topic of ['line/1', 'quarantine/1']) expect((await publish(topic)).code).toBe(0)
    await dashboard.waitForMessages(1, undefined, SOON)
    expect(dashboard.messages.map(({ topic }) => topic)).toEqual(['quarantine/1'])

    expect(await hublet('approve', 'SN-0001', 'SN-0002')).toEqual({
      code: 1,
      stdout: '',
      stderr: 'hublet: expected a device of a hub here, got "SN-0002"\n',
    })
    expect((await hublet('export')).stdout).toContain('approved: false')
    const told = 'device SN-0001 approved\n'
    expect(await hublet('approve', 'SN-0001')).toEqual({ code: 0, stdout: told, stderr: '' })
    expect((await publish('line/2')).code).toBe(0)
    await client.publish('line/3', 'x', { qos: 1 })
    await dashboard.waitForMessages(3, undefined, SOON)
    expect(dashboard.messages.map(({ topic }) => topic)).toEqual(['quarantine/1', 'line/2', 'line/3'])
    expect((await hublet('approve', 'SN-0001')).stdout).toBe('device SN-0001 was approved already\n')

    // Whose manifest is the user's stays so.
    const text = (await hublet('export')).stdout.replace('approved: true', 'approved: false')
    workspace.write('sensor.yaml', text)
    await dev.waitForLog(/1 device changed/, SOON)
    expect((await hublet('approve', 'SN-0001')).stderr).toMatch(
      /set spec.approved to true in .*sensor\.yaml:\d+/,
    )
    expect(await dev.stop()).toBe(0)
  })

  it('goes again when nobody approves it within pendingTTL, and may come anew', async () => {
    const { workspace, ca } = await openHub('{ enabled: true, mode: Approve, pendingTTL: 24h }')
    let dev = await DevProcess.start(workspace)
    const sensor = await makeCertificate({ commonName: 'SN-0001', issuer: ca })
    expect((await connect(dev, sensor)).returnCode).not.toBe(0)
    await dev.waitForLog(/device was auto-provisioned/)
    expect(await dev.stop()).toBe(0)
    const [file = ''] = provisionedFiles(workspace)
    const path = `${workspace.path}/.hublet/${file}`
    writeFileSync(path, readFileSync(path, 'utf8').replace(/(provisioned-at: ).*/, '$12020-01-01T00:00:00Z'))
    dev = await DevProcess.start(workspace)
    await dev.waitForLog(/nobody has approved it in time/)
    expect(provisionedFiles(workspace)).toEqual([])
    expect((await connect(dev, sensor)).returnCode).not.toBe(0)
    expect(provisionedFiles(workspace)).toEqual([file])
    expect(await dev.stop()).toBe(0)
  })

  it('is one of a burst, each with exactly one device', async () => {
    const { workspace, ca } = await openHub(
      '{ enabled: true, perSecond: 1000, template: { allowMultipleConnections: true } }',
    )
    const dev = await DevProcess.start(workspace)
    const sensors = await Promise.all(
      Array.from({ length: 30 }, (_, i) => makeCertificate({ commonName: `SN-${i}`, issuer: ca })),
    )
    const twice = await Promise.all([...sensors, ...sensors].map((sensor) => connect(dev, sensor)))
    expect(twice.map(({ returnCode }) => returnCode)).toEqual(twice.map(() => 0))
    expect(provisionedFiles(workspace)).toHaveLength(30)
    expect(await dev.stop()).toBe(0)
  })
})
