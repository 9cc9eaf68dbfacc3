import { createServer } from 'node:net'

/** Below those that systems give out by themselves, so that no client or listener on port 0 gets one in between. */
const PORTS = { first: 12_000, count: 18_000 }
/** Another place for each process, and another port each time. */
let nextPort = (process.pid * 7_919) % PORTS.count

/** A port that was free a moment ago, for programs that cannot take one themselves. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < PORTS.count; attempt += 1) {
    const port = PORTS.first + nextPort
    nextPort = (nextPort + 1) % PORTS.count
    if (await canListen(port)) return port
  }
  throw new Error(`no port is free from ${PORTS.first} on`)
}

async function canListen(port: number): Promise<boolean> {
  const server = createServer()
  const isFree = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => resolve(true))
  })
  if (isFree) await new Promise((resolve) => server.close(resolve))
  return isFree
}
