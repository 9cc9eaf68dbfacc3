import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  CONFIG_MAPS,
  type ConfigMap,
  DEPLOYMENTS,
  DEVICES,
  HUBS,
  SERVICE_ACCOUNTS,
} from '../../operator/api/resources.ts'
import { Stage, untilReady } from '../../operator/operator.fixture.ts'
import { resourcePath } from '../../operator/runtime/resource.ts'
import { mosquittoPub, mosquittoSub } from '../../test-support/mosquitto.ts'
import { openMqtt } from '../../test-support/mqtt-client.ts'
import { makeTempDir } from '../../test-support/temp-dir.ts'
import { PATIENCE_MS, waitUntil, within } from '../../test-support/wait.ts'
import { PodOfDeployment } from './pod-of-deployment.fixture.ts'

const WATCHER = '0a7c3f52-6a52-4a1e-8f0e-1c6b0d6f1d12'

let stage: Stage
let pod: PodOfDeployment
let cafile: string

beforeEach(async () => {
  stage = await Stage.create('tokens')
  const { space } = stage
  stage.start()
  await space.post(HUBS, 'home', { spec: { listeners: { mqtt: {} } } })
  await space.post(DEVICES, 'backend', {
    spec: { hubRef: { name: 'home' }, serviceAccount: { name: 'reports' } },
  })
  await space.post(DEVICES, 'watcher', {
    spec: {
      hubRef: { name: 'home' },
      id: WATCHER,
      allowInsecure: true,
      messageFilters: { subscribe: { policy: 'Accept', topics: ['$hub/events/#'] } },
    },
  })
  for (const name of ['reports', 'other']) await space.post(SERVICE_ACCOUNTS, name)
  await untilReady(space, HUBS, ['home'])
  await untilReady(space, DEVICES, ['backend', 'watcher'])
  const { data } = await space.get<ConfigMap>(CONFIG_MAPS, 'hub-home-server-ca')
  cafile = join(makeTempDir('server-ca'), 'ca.crt')
  writeFileSync(cafile, data?.['ca.crt'] ?? '')
  pod = await PodOfDeployment.start(space, await space.get(DEPLOYMENTS, 'hub-home'))
})
afterEach(async () => {
  await pod?.stop()
  await stage.close()
})

/** As a kubelet asks for it when a pod has a projected volume. */
async function tokenOf(account: string, audience: string): Promise<string> {
  const { client, name } = stage.space
  const { body } = await client.request<{ status: { token: string } }>({
    method: 'POST',
    path: `${resourcePath(SERVICE_ACCOUNTS, name, account)}/token`,
    body: {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { audiences: [audience], expirationSeconds: 600 },
    },
  })
  return body.status.token
}

const audience = () => `hub-home.${stage.space.name}.svc`

const publish = (password: string, access: object = {}) =>
  mosquittoPub({
    port: pod.port('mqtts'),
    cafile,
    username: 'backend',
    password,
    // The certificate names the Service; here the pod has no name.
    args: ['--insecure'],
    topic: 'a',
    payload: 'x',
    qos: 1,
    ...access,
  })

describe('a program in the cluster', () => {
  it('logs in by a token of its ServiceAccount, and by no other', async () => {
    const good = await tokenOf('reports', audience())
    expect((await publish(good)).code).toBe(0)
    await using events = await mosquittoSub({
      port: pod.port('mqtt'),
      clientId: WATCHER,
      topics: '$hub/events/#',
    })
    const refused: Array<[string, string, object?]> = [
      [await tokenOf('other', audience()), 'it is of another ServiceAccount'],
      [await tokenOf('reports', `hub-other.${stage.space.name}.svc`), 'it is for another audience'],
      [`${good.slice(0, good.lastIndexOf('.'))}.AAAA`, 'its signature is wrong'],
      [good, 'the link is not encrypted', { port: pod.port('mqtt'), cafile: undefined, args: [] }],
    ]
    for (const [token, , access] of refused) expect((await publish(token, access)).code).not.toBe(0)
    const told = (await events.waitForMessages(refused.length)).map(
      ({ text }) => JSON.parse(text) as { code: string; msg: string },
    )
    expect(told.map(({ code, msg }) => `${code} ${msg.split(': ')[1]}`)).toEqual(
      refused.map(([, why]) => `SERVICE_TOKEN_REFUSED ${why}`),
    )
    // Neither without a token, nor as somebody who has no ServiceAccount.
    expect((await publish('sesame')).code).not.toBe(0)
    expect((await publish(good, { username: 'watcher' })).code).not.toBe(0)
  })

  it('is cut when the Device names another ServiceAccount, and comes in with a token of that', async () => {
    const client = await openMqtt({ listener: 'mqtts', port: pod.port('mqtts') })
    const login = {
      clientId: 'backend-1',
      username: 'backend',
      password: Buffer.from(await tokenOf('reports', audience())),
    }
    expect((await client.connect(login)).returnCode).toBe(0)
    await client.ping()
    await stage.space.merge(DEVICES, 'backend', { spec: { serviceAccount: { name: 'other' } } })
    await within('its link is cut', PATIENCE_MS, client.closed)
    await waitUntil(
      'the other comes in',
      async () => (await publish(await tokenOf('other', audience()))).code === 0,
    )
  })
})
