/**
 * A destination that can be killed: `node file-destination.fixture.ts <port> <file>` appends topic and body of each
 * request as a line to the file before it answers. What it acknowledged is in the file, whatever happens to it.
 */
import { closeSync, openSync, writeSync } from 'node:fs'
import { createServer } from 'node:http'

const [port = '0', file = ''] = process.argv.slice(2)
const log = openSync(file, 'a')
const server = createServer(async (request, response) => {
  const chunks: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  writeSync(log, `${request.headers['x-mqtt-topic']} ${Buffer.concat(chunks)}\n`)
  response.writeHead(204).end()
})
server.listen(Number(port), '127.0.0.1', () => process.stdout.write('listening\n'))
process.on('SIGTERM', () => {
  closeSync(log)
  process.exit(0)
})
