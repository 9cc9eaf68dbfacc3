/** HTTP for token networks: `http` and `https`. */
import type { IncomingMessage, ServerResponse } from 'node:http'
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

export function serveNetworks(gate: Gate, endpoint: NetworkEndpoint): void {
  const serve = (awaitsContinue: boolean) => (request: IncomingMessage, response: ServerResponse) => {
    const place = gate.arrivalOf(request.socket)?.place
    if (place === undefined) {
      request.destroy()
      return
    }
    place.renew()
    void endpoint.handle({ request, response, remoteAddress: place.address, awaitsContinue })
  }
  gate.server.on('request', serve(false))
  gate.server.on('checkContinue', serve(true))
}
