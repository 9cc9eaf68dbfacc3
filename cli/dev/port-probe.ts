import { createServer } from 'node:net'

/** Ports that cannot be had: another program listens there, or only the administrator may. */
const NOT_FREE = new Set(['EADDRINUSE', 'EACCES'])

/**
 * Whether this process could listen on the port now. Rejects on a host that cannot be listened on at all, such
 * as an address that this machine does not have.
 */
export async function isPortFree(host: string, port: number): Promise<boolean> {
  return await new Promise<boolean>((resolve, reject) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (NOT_FREE.has(error.code ?? '')) resolve(false)
      else reject(error)
    })
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(true)))
  })
}
