/** HTTP for token networks: `http` and `https`. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { EST_PATH, type EstEndpoint } from './est-endpoint.ts'
import type { Gate } from './gate.ts'
import type { ListenerHost } from './listener-host.ts'
import type { NetworkEndpoint } from './network-endpoint.ts'
import { PendingPlaces } from './pending-places.ts'

/** Open connections of the two listeners together; beyond it the one unused for longest is closed. */
const MAX_HTTP_CONNECTIONS = 1_000

/** Time limits are those of the HTTP server; what is left to bound is the number. */
export function httpPlaces(host: ListenerHost): PendingPlaces {
  return new PendingPlaces({
    limit: () => MAX_HTTP_CONNECTIONS,
    timeoutMs: Number.POSITIVE_INFINITY,
    now: () => performance.now(),
    onDrop: ({ address }) =>
      host.raise({
        code: 'HUB_BUSY',
        objectType: 'hub',
        objectId: host.hub().uid,
        detail: `more than ${MAX_HTTP_CONNECTIONS} HTTP connections`,
        extra: { 'source-address': address },
      }),
  })
}

/** Token networks, and certificates for devices. */
export function serveHttp(gate: Gate, endpoint: NetworkEndpoint, est: EstEndpoint): void {
  const serve = (awaitsContinue: boolean) => (request: IncomingMessage, response: ServerResponse) => {
    const arrival = gate.arrivalOf(request.socket)
    if (arrival === undefined) {
      request.destroy()
      return
    }
    const { place } = arrival
    place.renew()
    if (request.url?.startsWith(EST_PATH)) {
      const facts = gate.factsOf(request.socket, arrival)
      void est.handle({ request, response, facts, awaitsContinue })
    } else void endpoint.handle({ request, response, remoteAddress: place.address, awaitsContinue })
  }
  gate.server.on('request', serve(false))
  gate.server.on('checkContinue', serve(true))
}
