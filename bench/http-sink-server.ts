/**
 * An HTTP server for the benches of routes, in a process of its own: counts requests and answers 204. Prints its port.
 * `/peek` tells the count; `/count` tells it and begins anew.
 */
import { createServer } from 'node:http'

let count = 0
const server = createServer((request, response) => {
  if (request.url === '/count' || request.url === '/peek') {
    response.end(String(count))
    if (request.url === '/count') count = 0
    return
  }
  request.resume()
  request.once('end', () => {
    count += 1
    response.writeHead(204).end()
  })
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  console.log(typeof address === 'object' && address !== null ? address.port : 0)
})
