import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { device, network } from '../../test-support/hub-state.ts'
import type { MqttClient } from '../../test-support/mqtt-client.ts'
import { runProgram } from '../../test-support/run-program.ts'
import { startBroker, type TestBroker } from '../../test-support/start-broker.ts'
import { makeTempDir } from '../../test-support/temp-dir.ts'

// Token networks as curl and Sigfox's backend meet them: POST /networks/<name>, X-Secret, X-Topic, any body.

const TOKEN = 'r3st-t0ken-of-the-test'
const PAYLOAD_LIMIT = 1_000
const observer = device()
let broker: TestBroker
let seen: MqttClient
let directory: string

beforeAll(async () => {
  directory = makeTempDir('networks')
  broker = await startBroker(
    {
      devices: [observer],
      networks: [
        network({ name: 'rest', token: TOKEN }),
        network({ name: 'prefixed', token: 'other-token', topicPrefix: 'site/a' }),
        network({ name: 'sigfox', type: 'Sigfox', token: TOKEN, topicPrefix: 'myapp' }),
      ],
    },
    { listeners: ['mqtt', 'http', 'https'] },
  )
  broker.change((state) => ({
    ...state,
    hub: { ...state.hub, limits: { ...state.hub.limits, payloadBytes: PAYLOAD_LIMIT } },
  }))
  seen = await broker.connect(observer)
  await seen.subscribe('#', 2)
})
afterAll(async () => await broker.stop())

interface Post {
  network?: string
  secret?: string
  topic?: string
  headers?: readonly string[]
  body?: string | Buffer
  https?: boolean
  method?: string
}

interface Answer {
  status: number
  contentType: string
  headers: string
  body: string
}

/** One request by curl; `body` goes through a file, so that every byte is taken as it is. */
async function curl(post: Post): Promise<Answer> {
  const { secret, topic, headers = [], body = '', https = false, method = 'POST' } = post
  const file = join(directory, 'body')
  const answer = join(directory, 'answer')
  const answerHeaders = join(directory, 'headers')
  writeFileSync(file, body)
  writeFileSync(answer, '')
  const given = [
    ...(secret === undefined ? [] : [`X-Secret: ${secret}`]),
    ...(topic === undefined ? [] : [`X-Topic: ${topic}`]),
    ...headers,
  ]
  const target = https
    ? ['--cacert', broker.authority.certPath, `https://localhost:${broker.port('https')}`]
    : [`http://127.0.0.1:${broker.port('http')}`]
  const url = `${target.pop()}/networks/${post.network ?? 'rest'}`
  const args = ['-sS', '-X', method, ...target, ...given.flatMap((line) => ['-H', line])]
  const output = ['-o', answer, '-D', answerHeaders, '-w', '%{http_code} %{content_type}']
  const result = await runProgram('curl', [...args, ...output, '--data-binary', `@${file}`, url])
  expect(result.stderr).toBe('')
  const [status = '', contentType = ''] = result.stdout.toString().split(' ')
  return {
    status: Number(status),
    contentType,
    headers: readFileSync(answerHeaders, 'utf8'),
    body: readFileSync(answer, 'utf8'),
  }
}

async function nextMessage(from: number) {
  return (await seen.waitForMessages(from + 1))[from]
}

describe('a token network', () => {
  it.each([false, true])('publishes what curl posts (https: %s) and answers 204', async (https) => {
    const before = seen.messages.length
    const answer = await curl({ secret: TOKEN, topic: 'lab/temperature', body: '21.5', https })
    expect(answer).toMatchObject({ status: 204, body: '' })
    expect(await nextMessage(before)).toMatchObject({ topic: 'lab/temperature', text: '21.5', qos: 0 })
  })

  it('carries bytes of any value and an empty body', async () => {
    const before = seen.messages.length
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
    await curl({ secret: TOKEN, topic: 'bin', body: bytes })
    expect((await nextMessage(before))?.payload).toEqual(bytes)
    await curl({ secret: TOKEN, topic: 'empty' })
    expect((await nextMessage(before + 1))?.payload).toHaveLength(0)
  })

  it('puts its prefix before the topic', async () => {
    const before = seen.messages.length
    await curl({ network: 'prefixed', secret: 'other-token', topic: 'door', body: 'open' })
    expect((await nextMessage(before))?.topic).toBe('site/a/door')
    await curl({ network: 'sigfox', secret: TOKEN, topic: 'A1234B/payload', body: '{"data":"ABCDEF01"}' })
    expect(await nextMessage(before + 1)).toMatchObject({
      topic: 'myapp/A1234B/payload',
      text: '{"data":"ABCDEF01"}',
    })
  })

  it('takes QoS and retain by header', async () => {
    const before = seen.messages.length
    const headers = ['X-QoS: 1', 'X-Retain: true']
    expect(await curl({ secret: TOKEN, topic: 'kept', body: 'x', headers })).toMatchObject({ status: 204 })
    expect(await nextMessage(before)).toMatchObject({ qos: 1, retain: false })
    await seen.subscribe('kept', 1)
    expect(await nextMessage(before + 1)).toMatchObject({ text: 'x', retain: true })
    await seen.unsubscribe('kept')
    await curl({ secret: TOKEN, topic: 'kept', headers })
    await nextMessage(before + 2)
  })

  it('is no device: no filter, counter or connection of one is touched', async () => {
    const closed = device({ filters: { publish: { policy: 'Accept', topics: [] } } })
    broker.change((state) => ({ ...state, devices: [...state.devices, closed] }))
    const activity = () => broker.broker.activity().map((entry) => [entry.deviceId, entry.messagesIn])
    const [before, count] = [activity(), seen.messages.length]
    await curl({ secret: TOKEN, topic: `device/${closed.id}`, body: 'x' })
    await nextMessage(count)
    expect(activity()).toEqual(before)
  })
})

interface Refusal extends Post {
  status: number
}

const REFUSALS: Record<string, Refusal> = {
  'a missing topic': { secret: TOKEN, status: 400 },
  'an empty topic': { secret: TOKEN, headers: ['X-Topic;'], status: 400 },
  'a topic with +': { secret: TOKEN, topic: 'a/+/b', status: 400 },
  'a topic with #': { secret: TOKEN, topic: 'a/#', status: 400 },
  'a topic of the hub itself': { secret: TOKEN, topic: '$hub/events/error/device/x', status: 400 },
  'a topic under $SYS': { secret: TOKEN, topic: '$SYS/x', status: 400 },
  'a QoS that is none': { secret: TOKEN, topic: 'a', headers: ['X-QoS: 3'], status: 400 },
  'a retain flag that is none': { secret: TOKEN, topic: 'a', headers: ['X-Retain: perhaps'], status: 400 },
  'a missing secret': { topic: 'a', status: 401 },
  'a wrong secret': { secret: 'wrong', topic: 'a', status: 401 },
  'the secret of another network': { secret: 'other-token', topic: 'a', status: 401 },
  'a network that is not there': { network: 'nowhere', secret: TOKEN, topic: 'a', status: 401 },
  'a body above the limit': { secret: TOKEN, topic: 'a', body: 'x'.repeat(PAYLOAD_LIMIT + 1), status: 413 },
  'another method': { secret: TOKEN, topic: 'a', method: 'PUT', status: 405 },
}

describe('a refusal', () => {
  it.each(Object.entries(REFUSALS))(
    'of %s says so as a JSON problem and publishes nothing',
    async (_, row) => {
      const before = seen.messages.length
      const { status, contentType, body } = await curl({ body: 'x', ...row })
      expect(status).toBe(row.status)
      expect(contentType).toContain('application/problem+json')
      const problem = JSON.parse(body) as Record<string, unknown>
      expect(problem).toMatchObject({ status: row.status, title: expect.any(String) })
      expect(body).not.toContain(TOKEN)
      await seen.ping()
      expect(seen.messages).toHaveLength(before)
    },
  )

  it('of a secret raises an event that does not hold it', async () => {
    broker.events.length = 0
    await curl({ secret: 'guessed-secret', topic: 'a' })
    const event = await broker.waitForEvent('BAD_NETWORK_TOKEN')
    expect(event.objectType).toBe('network')
    expect(JSON.stringify(event)).not.toContain('guessed-secret')
  })

  it('of everything while the hub is disabled is 503', async () => {
    broker.change((state) => ({ ...state, hub: { ...state.hub, enabled: false } }))
    expect(await curl({ secret: TOKEN, topic: 'a', body: 'x' })).toMatchObject({ status: 503 })
    broker.change((state) => ({ ...state, hub: { ...state.hub, enabled: true } }))
    seen = await broker.connect(observer)
    await seen.subscribe('#', 2)
    expect(await curl({ secret: TOKEN, topic: 'a', body: 'x' })).toMatchObject({ status: 204 })
    await nextMessage(0)
  })

  it('of too many at once is 429 with a time to come back', async () => {
    await using limited = await startBroker(
      { devices: [], networks: [network({ name: 'rest', token: TOKEN })] },
      { listeners: ['http'] },
    )
    limited.change((state) => ({
      ...state,
      hub: { ...state.hub, limits: { ...state.hub.limits, messagesPerSecond: 5 } },
    }))
    const post = async () =>
      await fetch(`http://127.0.0.1:${limited.port('http')}/networks/rest`, {
        method: 'POST',
        headers: { 'X-Secret': TOKEN, 'X-Topic': 'a' },
        body: 'x',
      })
    const answers = await Promise.all(Array.from({ length: 40 }, post))
    const refused = answers.filter((answer) => answer.status === 429)
    expect(answers.filter((answer) => answer.status === 204).length).toBeGreaterThan(0)
    expect(refused.length).toBeGreaterThan(0)
    expect(Number(refused[0]?.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(refused[0]?.headers.get('content-type')).toContain('application/problem+json')
  })
})

describe('a network', () => {
  it('that is deleted leaves its secret useless; one with a new secret takes only that', async () => {
    await using own = await startBroker(
      { devices: [], networks: [network({ name: 'rest', token: 'first' })] },
      { listeners: ['http'] },
    )
    const post = async (secret: string) => {
      const url = `http://127.0.0.1:${own.port('http')}/networks/rest`
      const headers = { 'X-Secret': secret, 'X-Topic': 'a' }
      return (await fetch(url, { method: 'POST', headers, body: 'x' })).status
    }
    expect(await post('first')).toBe(204)
    own.change((state) => ({ ...state, networks: [network({ name: 'rest', token: 'second' })] }))
    expect([await post('first'), await post('second')]).toEqual([401, 204])
    own.change((state) => ({ ...state, networks: [] }))
    expect(await post('second')).toBe(401)
  })
})
