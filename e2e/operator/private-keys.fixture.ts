import { KINDS } from '../../crds/kinds.ts'
import { API_VERSION } from '../../crds/meta.ts'
import { OWNED_RESOURCES, SECRETS, type Secret } from '../../operator/api/resources.ts'
import type { Stage, TestOperator } from '../../operator/operator.fixture.ts'
import { resourcePath } from '../../operator/runtime/resource.ts'
import type { TestNamespace } from '../../test-support/cluster.ts'
import { commandLines, tracesOf } from '../../test-support/key-traces.ts'
import type { PodOfDeployment } from './pod-of-deployment.fixture.ts'

/** The private keys in all Secrets of a namespace, PEM. */
export async function privateKeys(space: TestNamespace): Promise<string[]> {
  const values = (await space.list<Secret>(SECRETS)).flatMap(({ data = {} }) => Object.values(data))
  return values
    .map((value) => Buffer.from(value, 'base64').toString())
    .filter((text) => text.includes('PRIVATE KEY-----'))
}

interface Run {
  stage: Stage
  operator: TestOperator
  pod: PodOfDeployment
}

/** Names of the places in which one of the keys stands. */
export async function whereKeysAre(keys: readonly string[], run: Run): Promise<string[]> {
  const traces = keys.flatMap(tracesOf)
  const places = await everythingWritten(run)
  return [...places]
    .filter(([, text]) => traces.some((trace) => text.includes(trace)))
    .map(([place]) => place)
}

async function everythingWritten({ stage, operator, pod }: Run): Promise<Map<string, string>> {
  const { client, name } = stage.space
  const places = new Map<string, string>()
  const kinds = KINDS.map(({ kind, plural }) => ({ apiVersion: API_VERSION, kind, plural, namespaced: true }))
  const events = { apiVersion: 'events.k8s.io/v1', kind: 'Event', plural: 'events', namespaced: true }
  for (const resource of [...kinds, ...OWNED_RESOURCES, events]) {
    if (resource.plural === SECRETS.plural) continue
    const { body } = await client.request({ method: 'GET', path: resourcePath(resource, name) })
    places.set(resource.plural, JSON.stringify(body))
  }
  places.set('metadata of Secrets', await metadataOfSecrets(stage.space))
  places.set('log of the operator', operator.log.map((line) => JSON.stringify(line)).join('\n'))
  places.set('output of the broker', pod.output)
  places.set('command lines', commandLines().join('\n'))
  places.set('Redis', await dump(stage))
  return places
}

const metadataOfSecrets = async (space: TestNamespace) =>
  JSON.stringify((await space.list<Secret>(SECRETS)).map(({ metadata }) => metadata))

/** Every key with its value as Redis writes it to its own disk. */
async function dump({ redis }: Stage): Promise<string> {
  const client = redis.client()
  try {
    const texts: string[] = []
    for (const key of await client.keys('*')) texts.push(key, await textOf(client, key))
    return texts.join('\n')
  } finally {
    client.disconnect()
  }
}

async function textOf(client: ReturnType<Stage['redis']['client']>, key: string): Promise<string> {
  switch (await client.type(key)) {
    case 'string':
      return (await client.get(key)) ?? ''
    case 'hash':
      return JSON.stringify(await client.hgetall(key))
    case 'list':
      return JSON.stringify(await client.lrange(key, 0, -1))
    case 'set':
      return JSON.stringify(await client.smembers(key))
    case 'zset':
      return JSON.stringify(await client.zrange(key, 0, '-1'))
    default:
      return JSON.stringify(await client.xrange(key, '-', '+'))
  }
}
