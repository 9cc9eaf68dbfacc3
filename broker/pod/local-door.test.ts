import { request } from 'node:http'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { makeTempDir, removeTempDir } from '../../test-support/temp-dir.ts'
import type { Broker } from '../create-broker.ts'
import { ALLOWED, deny, type Verdict } from '../policy/verdict.ts'
import { type LocalDoor, openLocalDoor } from './local-door.ts'

type Reply = Parameters<Broker['publishReply']>[0]

let folder: string
let door: LocalDoor
let answer: () => Promise<Verdict>
const replies: Reply[] = []
const events: unknown[] = []

const open = () =>
  openLocalDoor(join(folder, 'door'), {
    publishReply: (reply) => {
      replies.push(reply)
      return answer()
    },
    raise: (event) => void events.push(event),
  })

beforeEach(async () => {
  folder = makeTempDir('door')
  answer = async () => ALLOWED
  replies.length = 0
  events.length = 0
  door = await open()
})
afterEach(async () => {
  await door.close()
  removeTempDir(folder)
})

function post(path: string, body: string): Promise<{ status: number | undefined; text: string }> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath: join(folder, 'door'), path, method: 'POST' }, (response) => {
      let text = ''
      response.on('data', (chunk) => {
        text += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode, text }))
    })
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

const REPLY = { topic: 'answers', payloadBase64: 'AAEC', qos: 1, retain: false, trail: ['r'] }

describe('the door from the route worker to its broker', () => {
  it('brings replies of any bytes in, and says what the hub decided', async () => {
    expect(await post('/reply', JSON.stringify(REPLY))).toEqual({ status: 200, text: '{"allowed":true}' })
    expect(replies).toEqual([
      { topic: 'answers', payload: Buffer.from([0, 1, 2]), qos: 1, retain: false, trail: ['r'] },
    ])
    answer = async () => deny('ROUTE_LOOP')
    const refused = await post('/reply', JSON.stringify({ ...REPLY, contentType: 'text/plain' }))
    expect(JSON.parse(refused.text)).toEqual({ allowed: false, code: 'ROUTE_LOOP' })
  })

  it('tells the worker to come again when the store did not take the reply', async () => {
    answer = () => Promise.reject(new Error('gone'))
    expect((await post('/reply', JSON.stringify(REPLY))).status).toBe(503)
  })

  it('raises events about routes, and no others', async () => {
    const about = (code: string) => JSON.stringify({ code, routeId: 'r', detail: 'd' })
    expect((await post('/event', about('ROUTE_RECOVERED'))).status).toBe(200)
    for (const code of ['DEVICE_REVOKED', 'ROUTE_OF_TOMORROW'])
      expect((await post('/event', about(code))).status).toBe(400)
    expect(events).toEqual([{ code: 'ROUTE_RECOVERED', objectType: 'route', objectId: 'r', detail: 'd' }])
  })

  it.each([
    ['/reply', '{'],
    ['/reply', '{}'],
    ['/reply', JSON.stringify({ ...REPLY, qos: 3 })],
    ['/elsewhere', JSON.stringify(REPLY)],
  ])('refuses %s with %s', async (path, body) => {
    expect((await post(path, body)).status).toBe(400)
    expect([replies, events]).toEqual([[], []])
  })

  it('takes the place of one that a dead broker left', async () => {
    const second = await open()
    expect((await post('/reply', JSON.stringify(REPLY))).status).toBe(200)
    await second.close()
  })
})
