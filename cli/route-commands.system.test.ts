/** `hublet route` and `hublet dlq` as a person types them, beside a running `hublet dev`. */
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { HttpDestination } from '../routes/sinks/rest/http-destination.fixture.ts'
import { waitUntil } from '../test-support/wait.ts'
import { yaml } from './dev/manifests.fixture.ts'
import { DevProcess, Workspace } from './dev-process.fixture.ts'
import { hubletHere } from './hublet-here.fixture.ts'

const home = process.cwd()
const http = new HttpDestination()
let workspace: Workspace
let dev: DevProcess

const routeYaml = (name: string, fields: string) =>
  yaml('Route', name, `{ hubRef: { name: garden }, topic: '${name}/#', ${fields} }`)

async function hublet(...args: string[]): Promise<{ code: number; out: string; errors: string }> {
  const { code, stdout, stderr } = await hubletHere(...args)
  return { code, out: stdout, errors: stderr }
}

/** Standard output of a command that succeeds. */
async function printed(...args: string[]): Promise<string> {
  const { code, out, errors } = await hublet(...args)
  expect({ code, errors }).toEqual({ code: 0, errors: '' })
  return out
}

beforeAll(async () => {
  await http.start()
  http.answer = (_, response) => response.writeHead(400).end('no')
  workspace = await Workspace.make()
  const rest = `rest: { url: 'http://127.0.0.1:${http.port}/' }`
  workspace.write('alarm.yaml', routeYaml('alarm', `${rest}, delivery: { maxAttempts: 1 }`))
  dev = await DevProcess.start(workspace)
  process.chdir(workspace.path)
})
afterAll(async () => {
  process.chdir(home)
  expect(await dev?.stop()).toBe(0)
  await http.stop()
})

interface Letter {
  position: string
  topic: string
  payloadBase64: string
  lastError: { code: string }
}

async function letters(count: number): Promise<Letter[]> {
  return await waitUntil(`${count} dead letters`, async () => {
    const found = JSON.parse(await printed('dlq', 'list', 'alarm', '--json')) as Letter[]
    return found.length === count ? found : undefined
  })
}

describe('hublet dlq', () => {
  it('lists, shows, gives back and removes what could not be delivered', async () => {
    const dashboard = await dev.connectById('dashboard')
    const payload = Buffer.from([0x00, 0xff, 0x1b, 0x5b, 0x33, 0x31, 0x6d])
    await dashboard.publish('alarm/kitchen', payload, { qos: 1 })
    await dashboard.publish('alarm/attic', 'smoke', { qos: 1 })
    const found = await letters(2)
    expect(found.map(({ topic }) => topic).sort()).toEqual(['alarm/attic', 'alarm/kitchen'])
    const kitchen = found.find(({ topic }) => topic === 'alarm/kitchen') as Letter
    expect(kitchen.payloadBase64).toBe(payload.toString('base64'))
    await dev.waitForLog(/delivery was given up: \d messages?, last HTTP_/)

    const table = await printed('dlq', 'list', 'alarm')
    expect(table).toMatch(/^POSITION +GIVEN UP +TOPIC +ATTEMPTS +ERROR +PAYLOAD\n/)
    expect(table).toMatch(/ "alarm\/attic" +1 +HTTP_\S* +"smoke"\n/)
    // Escape sequences of a payload do not reach the terminal.
    expect(table).not.toContain('\u001b')
    expect(JSON.parse(await printed('dlq', 'show', 'alarm', kitchen.position))).toEqual(kitchen)

    http.answer = (_, response) => response.writeHead(204).end()
    http.take()
    expect(await printed('dlq', 'replay', 'alarm', kitchen.position)).toBe('1 given back to the route\n')
    const [call] = await waitUntil('the delivery', () => (http.seen.length > 0 ? http.take() : undefined))
    expect(call?.body).toEqual(payload)
    await letters(1)
    expect(await printed('dlq', 'purge', 'alarm', '--all')).toBe('1 removed\n')
    expect(await printed('dlq', 'list', 'alarm')).toBe('no dead letters\n')
    await dashboard.disconnect()
  })

  it.each([
    ['an unknown route', ['list', 'nothing'], 'expected a route, got "nothing"'],
    ['an unknown letter', ['show', 'alarm', '7'], 'expected the position of a dead letter of alarm, got "7"'],
    ['no letter at all', ['purge', 'alarm'], 'dlq purge alarm: expected positions or --all, got neither'],
    [
      'a folder that nothing runs with',
      ['list', 'alarm', '--data', 'elsewhere'],
      'no hublet is running that wrote elsewhere/.control: start it, or name its folder with --data',
    ],
  ])('says what is wrong with %s', async (_, args, message) => {
    expect(await hublet('dlq', ...args)).toEqual({ code: 1, out: '', errors: `hublet: ${message}\n` })
  })

  it('is answered only to who can read the file of the owner', async () => {
    const file = join(workspace.path, '.hublet', '.control')
    expect(statSync(file).mode & 0o777).toBe(0o600)
    const { port } = JSON.parse(readFileSync(file, 'utf8')) as { port: number }
    const ask = (headers: Record<string, string>) =>
      fetch(`http://127.0.0.1:${port}/`, { method: 'POST', headers, body: '{"call":"routes"}' })
    expect((await ask({})).status).toBe(401)
    expect((await ask({ authorization: 'Bearer x' })).status).toBe(401)
  })
})

describe('hublet route', () => {
  it('list shows how each route is', async () => {
    const table = await waitUntil('the counts', async () => {
      const found = await printed('route', 'list')
      return /\ngarden +alarm +\w+ +0 +1 /.test(found) ? found : undefined
    })
    expect(table).toMatch(/^HUB +ROUTE +STATE +LAG +DELIVERED +FAILED +DEAD +DROPPED +LAST ERROR\n/)
    expect(table).toMatch(/\ngarden +alarm +\w+ +0 +1 +\d+ +\d+ +0 +HTTP_/)
  })

  it('test says what would happen to a message', async () => {
    const told = await printed(
      'route',
      'test',
      'alarm',
      '-f',
      'manifests',
      '--topic',
      'alarm/x',
      '--payload',
      'hi',
    )
    expect(told).toMatch(/^topic +matches alarm\/#, partition \d of 4\n/)
    expect(told).toMatch(/\nrequest +POST http:\/\/127.0.0.1:\d+\/\n/)
    expect(told).toMatch(/\nbody +hi\nwould be delivered\n$/)
    const other = await hublet('route', 'test', 'alarm', '-f', 'manifests', '--topic', 'other')
    expect(other).toMatchObject({
      code: 1,
      out: expect.stringMatching(/does not match alarm\/#\nnothing would/),
    })
    expect(await hublet('route', 'test', 'none', '-f', 'manifests', '--topic', 'x')).toMatchObject({
      code: 1,
      errors: 'hublet: expected a route of a hub here, got "none"\n',
    })
  })
})
