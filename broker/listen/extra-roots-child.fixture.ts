/**
 * A process whose system roots hold one more CA (NODE_EXTRA_CA_CERTS, read at the start of Node only). Says in
 * one JSON line whether a client certificate of that CA is trusted: by a TLS server that names no CA, as a
 * control, and by our listener with the CA list of a hub that has none.
 */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { waitUntil } from '../../test-support/wait.ts'
import { testListeners } from './test-listeners.fixture.ts'

const [serverCert = '', serverKey = '', clientCert = '', clientKey = ''] = process.argv
  .slice(2)
  .map((path) => readFileSync(path, 'utf8'))

async function show(port: number): Promise<TLSSocket> {
  const client = { cert: clientCert, key: clientKey }
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...client })
  socket.on('error', () => {})
  await once(socket, 'secureConnect')
  return socket
}

const control = createServer({
  cert: serverCert,
  key: serverKey,
  requestCert: true,
  rejectUnauthorized: false,
})
control.listen(0, '127.0.0.1')
await once(control, 'listening')
const accepted = once(control, 'secureConnection')
const first = await show((control.address() as AddressInfo).port)
const [{ authorized }] = (await accepted) as [TLSSocket]

const credentials = { certificateChain: serverCert, privateKey: serverKey }
const listeners = await testListeners(['mqtts'], { credentials })
const trusted: unknown[] = []
async function ask(): Promise<void> {
  const socket = await show(listeners.port('mqtts'))
  const link = await waitUntil('the link', () => listeners.host.links[trusted.length])
  trusted.push(link.facts.peerCertificate?.chainTrusted)
  socket.destroy()
}
await ask()
// A reload must not bring the roots in by the back door.
listeners.open.setCredentials(credentials)
await ask()
listeners.open.setDeviceCa()
await ask()

process.stdout.write(`${JSON.stringify({ control: authorized, trusted })}\n`)
first.destroy()
control.close()
await listeners[Symbol.asyncDispose]()
