import { createHash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { HUBS, NETWORKS, type Network, SECRETS, SERVICES, type Secret } from '../api/resources.ts'
import { Stage, textOf, untilCondition, untilReady } from '../operator.fixture.ts'
import type { KubeObject } from '../runtime/resource.ts'

let stage: Stage

beforeEach(async () => {
  stage = await Stage.create('network')
  stage.start()
  await stage.space.post(HUBS, 'home', { spec: {} })
})
afterEach(() => stage.close())

const waiting = { timeout: 60_000, interval: 50 }
const post = (name: string, spec: object) =>
  stage.space.post(NETWORKS, name, { spec: { hubRef: { name: 'home' }, ...spec } })
const get = (name: string) => stage.space.get<Network>(NETWORKS, name)
const ready = (...names: string[]) => untilReady(stage.space, NETWORKS, names)
const secret = (name: string) => stage.space.get<Secret>(SECRETS, name)
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
const published = (wanted: object[]) =>
  vi.waitFor(
    async () =>
      expect((await stage.state('home')).networks).toEqual(wanted.map((one) => expect.objectContaining(one))),
    waiting,
  )

describe('the token of a network', () => {
  it('is made, kept, replaced when its Secret is deleted, and reaches brokers as a hash', async () => {
    await post('web', { type: 'REST', topicPrefix: 'web' })
    await ready('web')
    const token = textOf(await secret('network-web-token'), 'token')
    expect(Buffer.from(token, 'base64url')).toHaveLength(32)
    await published([{ name: 'web', type: 'REST', topicPrefix: 'web', tokenSha256: sha256(token) }])
    expect((await get('web')).status).toMatchObject({
      tokenSecretName: 'network-web-token',
      endpoints: [
        { name: 'https', url: expect.stringMatching(/^https:\/\/hub-home\..*:8443\/networks\/web$/) },
      ],
    })
    await stage.space.merge(NETWORKS, 'web', { spec: { topicPrefix: 'other' } })
    await ready('web')
    expect(textOf(await secret('network-web-token'), 'token')).toBe(token)
    await stage.space.delete(SECRETS, 'network-web-token')
    const next = await vi.waitFor(async () => textOf(await secret('network-web-token'), 'token'), waiting)
    expect(next).not.toBe(token)
    await published([{ name: 'web', topicPrefix: 'other', tokenSha256: sha256(next) }])
    await ready('web')
  })

  it('of the user is followed, and one that is weak or missing closes the network', async () => {
    await post('radio', { type: 'Sigfox', tokenSecretRef: { name: 'mine' } })
    await untilCondition(stage.space, NETWORKS, 'radio', { type: 'Reconciling', reason: 'SecretNotFound' })
    await stage.space.post(SECRETS, 'mine', { stringData: { token: 'short' } })
    const { message } = await untilCondition(stage.space, NETWORKS, 'radio', {
      type: 'Stalled',
      reason: 'TokenTooWeak',
    })
    expect(message).toContain('5 characters, expected at least 16')
    await published([])
    const token = 'a token of at least sixteen'.replaceAll(' ', '-')
    await stage.space.merge(SECRETS, 'mine', { stringData: { token: `${token}\n` } })
    await ready('radio')
    await published([{ name: 'radio', tokenSha256: sha256(token) }])
    await stage.space.delete(SECRETS, 'mine')
    await published([])
  })

  it('is worth nothing once the network is deleted', async () => {
    await post('web', { type: 'REST' })
    await ready('web')
    await stage.space.delete(NETWORKS, 'web')
    await vi.waitFor(async () => expect(await stage.space.list(NETWORKS)).toEqual([]), waiting)
    expect((await stage.state('home')).networks).toEqual([])
    expect((await stage.space.list(SECRETS)).map(({ metadata }) => metadata.name)).not.toContain(
      'network-web-token',
    )
  })
})

describe('the way in to a network', () => {
  it('is a Service of its own when asked for, and goes when it is not any more', async () => {
    await post('public', { type: 'MQTT', exposure: { type: 'NodePort', annotations: { a: 'b' } } })
    await ready('public')
    const service = await stage.space.get<KubeObject & { spec: { ports: object[]; type: string } }>(
      SERVICES,
      'network-public',
    )
    expect(service.metadata.annotations).toMatchObject({ a: 'b' })
    expect(service.spec).toMatchObject({
      type: 'NodePort',
      ports: [
        { name: 'mqtts', port: 8883, targetPort: 8883 },
        { name: 'mqtt', port: 1883, targetPort: 1883 },
      ],
    })
    expect((await get('public')).status?.endpoints?.[0]?.url).toMatch(/^mqtts:\/\/network-public\./)
    await stage.space.merge(NETWORKS, 'public', { spec: { exposure: { type: 'Hub' } } })
    await vi.waitFor(
      async () =>
        expect((await stage.space.list(SERVICES)).map(({ metadata }) => metadata.name)).toEqual(['hub-home']),
      waiting,
    )
    await ready('public')
  })

  it('is closed when the listener of the hub is, and open again with it', async () => {
    await stage.space.merge(HUBS, 'home', { spec: { listeners: { https: { enabled: false } } } })
    await post('web', { type: 'REST' })
    const { message } = await untilCondition(stage.space, NETWORKS, 'web', {
      type: 'Stalled',
      reason: 'ListenerClosed',
    })
    expect(message).toBe('a REST network needs https and http of the hub, which are closed')
    await stage.space.merge(HUBS, 'home', { spec: { listeners: { https: { enabled: true } } } })
    await ready('web')
  })

  it('through a Gateway is told to be missing where the cluster has no Gateway API', async () => {
    const exposure = { type: 'Gateway', gatewayRef: { name: 'edge' }, hostnames: ['mqtt.example.com'] }
    await post('public', { type: 'MQTT', exposure })
    await untilCondition(stage.space, NETWORKS, 'public', {
      type: 'Stalled',
      reason: 'GatewayNotAccepted',
    })
  })
})
