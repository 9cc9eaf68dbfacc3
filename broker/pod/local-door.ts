/** Where the broker hears the route worker of the same pod (`contract/pod-door.ts`). */
import { once } from 'node:events'
import { chmodSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import {
  DOOR_BODY_BYTES,
  DOOR_TIMEOUT_MS,
  type DoorVerdict,
  parseDoorEvent,
  parseDoorReply,
} from '../../contract/pod-door.ts'
import type { Broker } from '../create-broker.ts'

export interface LocalDoor {
  close(): Promise<void>
}

const MAX_CONNECTIONS = 64

/** Rejects when the socket cannot be made at `path`; one that a dead broker left is replaced. */
export async function openLocalDoor(
  path: string,
  broker: Pick<Broker, 'publishReply' | 'raise'>,
): Promise<LocalDoor> {
  const server = createServer((request, response) => {
    serve(request, broker).then(
      ([status, body]) =>
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body)),
      () => fail(response),
    )
  })
  server.requestTimeout = DOOR_TIMEOUT_MS
  server.maxConnections = MAX_CONNECTIONS
  rmSync(path, { force: true })
  server.listen(path)
  await once(server, 'listening')
  chmodSync(path, 0o600)
  return {
    async close() {
      server.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

function fail(response: ServerResponse): void {
  // The store did not take it: the worker tries again.
  if (!response.headersSent) response.writeHead(503)
  response.end()
}

async function serve(
  request: IncomingMessage,
  broker: Pick<Broker, 'publishReply' | 'raise'>,
): Promise<[status: number, body: object]> {
  const body = await bodyOf(request)
  if (body === undefined) return [400, {}]
  if (request.url === '/reply') {
    const reply = parseDoorReply(body)
    if (reply === undefined) return [400, {}]
    const { payloadBase64, contentType, ...rest } = reply
    const verdict = await broker.publishReply({
      ...rest,
      payload: Buffer.from(payloadBase64, 'base64'),
      ...(contentType === undefined ? {} : { contentType }),
    })
    const answer: DoorVerdict = verdict.allowed ? { allowed: true } : { allowed: false, code: verdict.code }
    return [200, answer]
  }
  const event = request.url === '/event' ? parseDoorEvent(body) : undefined
  if (event === undefined) return [400, {}]
  const { code, routeId, detail } = event
  broker.raise({ code, objectType: 'route', objectId: routeId, ...(detail === undefined ? {} : { detail }) })
  return [200, {}]
}

/** Undefined: too long, or no JSON. */
async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > DOOR_BODY_BYTES) return undefined
    chunks.push(chunk)
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString())
  } catch {
    return undefined
  }
}
