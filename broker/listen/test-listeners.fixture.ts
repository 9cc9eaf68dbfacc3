import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { HubLimits } from '../../contract/hub-state.ts'
import { hub } from '../../test-support/hub-state.ts'
import { waitUntil } from '../../test-support/wait.ts'
import type { ListenerName } from '../policy/link.ts'
import { FakeHost, type OpenedLink } from './listener-host.fixture.ts'
import { type ListenerOptions, type OpenListeners, openListeners } from './open-listeners.ts'

/** Real listeners on free ports of 127.0.0.1 in front of a host that keeps what it sees. */
export class TestListeners {
  readonly host: FakeHost
  readonly open: OpenListeners
  readonly #sockets: Socket[] = []

  constructor(host: FakeHost, open: OpenListeners) {
    this.host = host
    this.open = open
  }

  port(name: ListenerName): number {
    const port = this.open.ports[name]
    if (port === undefined) throw new Error(`the ${name} listener is not open`)
    return port
  }

  setLimits(limits: Partial<HubLimits>): void {
    const { record } = this.host
    this.host.record = { ...record, limits: { ...record.limits, ...limits } }
    this.open.limitsChanged()
  }

  /** A TCP connection to a listener; collects what it is sent. */
  async dial(name: ListenerName): Promise<TestSocket> {
    const socket = connect({ port: this.port(name), host: '127.0.0.1' })
    socket.on('error', () => {})
    this.#sockets.push(socket)
    await once(socket, 'connect')
    return new TestSocket(socket)
  }

  async link(index = 0): Promise<OpenedLink> {
    return await waitUntil(`link ${index}`, () => this.host.links[index])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    for (const link of this.host.links) link.transport.destroy()
    await this.open.close()
  }
}

export class TestSocket {
  readonly socket: Socket
  /** As the broker sees it; kept, because a closed socket has none. */
  readonly address: string
  readonly #chunks: Buffer[] = []
  readonly closed: Promise<unknown>

  constructor(socket: Socket) {
    this.socket = socket
    this.address = `127.0.0.1:${socket.localPort}`
    this.closed = new Promise((resolve) => socket.once('close', resolve))
    socket.on('data', (chunk) => this.#chunks.push(chunk))
  }

  get text(): string {
    return Buffer.concat(this.#chunks).toString('latin1')
  }
}

type Options = Partial<Omit<ListenerOptions, 'listeners' | 'host'>> & { limits?: Partial<HubLimits> }

export async function testListeners(
  names: readonly ListenerName[],
  { limits = {}, ...options }: Options = {},
): Promise<TestListeners> {
  const host = new FakeHost(hub({ limits }))
  const listeners = Object.fromEntries(names.map((name) => [name, { host: '127.0.0.1', port: 0 }]))
  return new TestListeners(host, await openListeners({ listeners, host, ...options }))
}
