/** A door to a running worker for programs of the same user on the same machine. */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { answerCall, type ControlledHub, parseCall } from './control-calls.ts'

/** Where the door is and what opens it; the file can be read by its owner alone. */
export interface ControlPlace {
  port: number
  token: string
}

export interface ControlServer {
  close(): Promise<void>
}

/** More than the largest call. */
const MAX_BODY_BYTES = 128 * 1024
/** A replay of many letters takes its time; a request that drips in does not get it. */
const REQUEST_TIMEOUT_MS = 10_000

/** Answers calls that are none about routes; undefined: nobody knows such a call. */
export type FurtherCalls = (call: unknown) => Promise<object | undefined>

/**
 * Opens a port on loopback and writes where it is to `file`. A port and a token, not a socket in the file system:
 * the path of one may have a hundred bytes only. Pages in a browser reach the port, and lack the token.
 */
export async function startControl(
  file: string,
  hubs: () => readonly ControlledHub[],
  further: FurtherCalls = async () => undefined,
): Promise<ControlServer> {
  const token = randomBytes(32).toString('base64url')
  const server = createServer(
    { requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS, maxHeaderSize: 8192 },
    (request, response) => {
      serve(request, response, token, { hubs, further }).catch(() => {
        if (!response.headersSent) response.writeHead(500)
        response.end()
      })
    },
  )
  server.maxConnections = 8
  server.listen({ host: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  rmSync(file, { force: true })
  writeFileSync(file, JSON.stringify({ port, token } satisfies ControlPlace), { mode: 0o600, flag: 'wx' })
  return {
    async close() {
      rmSync(file, { force: true })
      server.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  token: string,
  { hubs, further }: { hubs: () => readonly ControlledHub[]; further: FurtherCalls },
): Promise<void> {
  const reply = (status: number, body: object) =>
    response
      .writeHead(status, { 'content-type': 'application/json', connection: 'close' })
      .end(JSON.stringify(body))
  if (!isHolder(request.headers.authorization, token))
    return void reply(401, { message: 'expected the token' })
  if (request.method !== 'POST') return void reply(405, { message: 'expected POST' })
  const body = await bodyOf(request)
  const asked = body === undefined ? undefined : jsonOf(body)
  const call = parseCall(asked)
  const answer = call === undefined ? await further(asked) : await answerCall(call, hubs())
  if (answer === undefined) return void reply(400, { message: 'expected a call' })
  reply(200, answer)
}

function isHolder(header: string | undefined, token: string): boolean {
  const expected = Buffer.from(`Bearer ${token}`)
  const got = Buffer.from(header ?? '')
  return got.length === expected.length && timingSafeEqual(got, expected)
}

/** Undefined: too long. */
async function bodyOf(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > MAX_BODY_BYTES) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
