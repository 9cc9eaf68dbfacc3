import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { Value } from 'typebox/value'
import { afterEach, describe, expect, it } from 'vitest'
import { HubState } from '../../contract/hub-state.ts'
import { makeTempDir } from '../../test-support/temp-dir.ts'
import { formatProblem } from '../manifests/problem.ts'
import { type DataFolder, openDataFolder } from './data-folder.ts'
import { type HubPlan, planHubs } from './hub-plan.ts'
import { IdentityStore } from './identity-store.ts'
import { deviceYaml, hubYaml, networkYaml, secretYaml, setOf, yaml } from './manifests.fixture.ts'
import { withoutEffect } from './without-effect.ts'

let folder: DataFolder | undefined
afterEach(() => folder?.close())

async function plan(...documents: string[]) {
  folder = openDataFolder(join(makeTempDir('plan'), '.hublet'))
  const names = { dnsNames: ['localhost'], ipAddresses: [] }
  const identities = new IdentityStore(folder, { now: Date.now, random: randomBytes }, names)
  return await planHubs(setOf(...documents), identities)
}

const plansOf = async (...documents: string[]): Promise<HubPlan[]> => {
  const result = await plan(...documents)
  if (!result.valid) throw new Error(result.problems.map(formatProblem).join('\n'))
  return result.plans
}

const problemsOf = async (...documents: string[]): Promise<string[]> => {
  const result = await plan(...documents)
  return result.valid ? [] : result.problems.map(formatProblem)
}

const byName = (name: string, [first]: HubPlan[]) =>
  first?.state.devices.find((device) => device.name === name)

describe('planHubs', () => {
  it('gives each hub a state of the contract, with its own devices only', async () => {
    const plans = await plansOf(
      hubYaml(),
      hubYaml('{}', 'garden', 'farm'),
      deviceYaml('lamp'),
      deviceYaml('pump', '', 'farm'),
      networkYaml('web'),
    )
    expect(plans.map(({ key, state }) => [key, state.devices.map(({ name }) => name)])).toEqual([
      ['garden', ['lamp']],
      ['garden.farm', ['pump']],
    ])
    for (const { state } of plans) expect([...Value.Errors(HubState, state)]).toEqual([])
    expect(plans[0]?.state.networks.map(({ name }) => name)).toEqual(['web'])
  })

  it('puts the kept id into templates and the fingerprint into the record', async () => {
    const accept = 'messageFilters: { publish: { policy: Accept, topics: ["d/{{ device.id }}"] } }'
    const lamp = byName('lamp', await plansOf(hubYaml(), deviceYaml('lamp', accept)))
    expect(lamp?.filters.publish).toEqual({ policy: 'Accept', topics: [`d/${lamp?.id}`] })
    expect(lamp?.certificate).toMatchObject({
      source: 'Managed',
      fingerprints: [expect.stringMatching(/^[0-9a-f]{64}$/)],
    })
  })

  it('has no secret and no private key in a state', async () => {
    const plans = await plansOf(
      hubYaml(),
      deviceYaml('lamp', 'allowInsecure: true, passwordSecretRef: { name: pw }'),
      secretYaml('pw', { password: 'swordfish' }),
      networkYaml('web'),
    )
    const text = JSON.stringify(plans[0]?.state)
    expect(text).not.toMatch(/PRIVATE KEY|swordfish/)
    expect(text).toContain('scrypt$')
  })

  it.each([
    [
      'a CA that is none',
      hubYaml(
        '{ deviceCA: { provided: { certificate: "-----BEGIN CERTIFICATE-----", challengeCertificate: "-----BEGIN CERTIFICATE-----" } } }',
      ),
      /^all\.yaml:4: spec\.deviceCA\.provided\.certificate: expected a PEM certificate, got none$/,
    ],
  ])('refuses %s with file, line and field', async (_, hub, expected) => {
    expect(await problemsOf(hub)).toEqual([expect.stringMatching(expected)])
  })

  it('gives no plan at all when one of two hubs cannot be served', async () => {
    const broken = hubYaml('{ serverTLS: { secretRef: { name: none } } }', 'broken')
    expect(await problemsOf(hubYaml(), broken)).toEqual([
      expect.stringContaining('spec.serverTLS.secretRef: expected a Secret "none"'),
    ])
  })

  it('says once, and why, that a network is closed', async () => {
    const [first] = await plansOf(
      hubYaml(),
      networkYaml('web', 'tokenSecretRef: { name: t }'),
      secretYaml('t', { token: 'short' }),
      networkYaml('api', 'tokenSecretRef: { name: none }'),
    )
    expect(first?.diagnostics.map(({ name, reason }) => [name, reason])).toEqual([
      ['web', 'TokenTooWeak'],
      ['api', 'TokenMissing'],
    ])
  })
})

describe('the secret values of routes', () => {
  const archive = yaml(
    'Route',
    'archive',
    '{ hubRef: { name: garden }, topic: "#", s3: { bucket: things, credentialsSecretRef: { name: keys } } }',
  )

  it('come from the Secrets beside them, by the id of the route', async () => {
    const keys = secretYaml('keys', { accessKeyId: 'me', secretAccessKey: 'sesame', other: 'not asked for' })
    const [plan] = await plansOf(hubYaml(), archive, keys)
    const [route] = plan?.state.routes ?? []
    expect(plan?.routeCredentials.get(route?.id ?? '')).toEqual({
      values: {
        's3.credentialsSecretRef.accessKeyId': 'me',
        's3.credentialsSecretRef.secretAccessKey': 'sesame',
      },
    })
    expect(plan?.diagnostics).toEqual([])
  })

  it('that are missing are named, and the route is kept: what it takes waits for them', async () => {
    const [plan] = await plansOf(hubYaml(), archive, secretYaml('keys', { accessKeyId: 'me' }))
    expect(plan?.state.routes).toHaveLength(1)
    expect(plan?.diagnostics).toEqual([
      {
        kind: 'Route',
        name: 'archive',
        reason: 'SecretNotFound',
        message:
          'messages wait: spec.s3.credentialsSecretRef.secretAccessKey: expected key secretAccessKey of Secret keys, got none',
        excluded: false,
      },
    ])
  })
})

describe('withoutEffect', () => {
  it('names what is taken and has no effect here', async () => {
    const [first] = await plansOf(hubYaml('{ replicas: 2, redis: { url: "redis://x" } }'))
    expect(first === undefined ? [] : withoutEffect(first.manifests)).toEqual([
      expect.stringContaining('replicas: 2'),
      expect.stringContaining('redis'),
    ])
  })

  it('is silent about a plain hub', async () => {
    const [first] = await plansOf(hubYaml(), networkYaml('web'))
    expect(first === undefined ? ['none'] : withoutEffect(first.manifests)).toEqual([])
  })
})
