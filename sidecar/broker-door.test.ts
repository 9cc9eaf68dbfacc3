import { createServer } from 'node:http'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { makeTempDir } from '../test-support/temp-dir.ts'
import { brokerDoor } from './broker-door.ts'

it('events of hundreds of routes at once all reach a broker that takes few connections', async () => {
  const told = new Set<string>()
  const server = createServer(async (request, response) => {
    let text = ''
    for await (const chunk of request) text += String(chunk)
    told.add((JSON.parse(text) as { routeId: string }).routeId)
    response.end('{}')
  })
  server.maxConnections = 2
  const path = join(makeTempDir('door'), 'socket')
  await new Promise<void>((resolve) => server.listen(path, resolve))
  const { tell } = brokerDoor(path)
  const ids = Array.from({ length: 300 }, (_, n) => `route-${n}`)
  await Promise.all(ids.map((routeId) => tell({ code: 'ROUTE_DEAD_LETTER', routeId })))
  expect([...told]).toEqual(ids)
  server.closeAllConnections()
  server.close()
})
