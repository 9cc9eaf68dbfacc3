import { Duplex, Readable } from 'node:stream'
import { Aedes, type Client, type ConnectPacket } from 'aedes'
import type { Link } from './link.ts'

/** aedes caps ids of MQTT 3.1 at 23 characters by default; ours are our own (see `begin`). */
const MAX_ID_LENGTH = 65_535
/** Its heartbeat and will sweep serve several brokers on one store; here they would do nothing. */
const IDLE_INTERVAL_MS = 2 ** 28

export interface HandshakeHooks {
  /** A well-formed CONNECT. False: it was refused, and answered. */
  onConnect(link: Link, packet: ConnectPacket): Promise<boolean>
  /** The handshake is through: CONNACK may leave and packets may flow. */
  onReady(link: Link): void
  /** Not a CONNECT that MQTT allows. */
  onMalformed(link: Link, error: Error): void
}

/** The byte stream that aedes sees: the CONNECT of a link goes in; what comes out is composed anew by us. */
class HandshakePipe extends Duplex {
  readonly link: Link

  constructor(link: Link) {
    super()
    this.link = link
  }

  override _read(): void {}

  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    done()
  }
}

/**
 * aedes for the handshake: it reads the CONNECT, holds it against the rules of its protocol version and runs
 * the steps up to CONNACK in order. Everything after that (messages, sessions, wills, take-over) is ours, for
 * the reasons in docs/adr/0003; so nothing here stores, matches or forwards.
 */
export class HandshakeEngine extends Aedes {
  readonly #pipes = new Map<Link, HandshakePipe>()
  readonly #hooks: HandshakeHooks
  #nextId = 1

  private constructor(hooks: HandshakeHooks) {
    super({
      mq: inertEmitter(),
      persistence: inertPersistence(),
      heartbeatInterval: IDLE_INTERVAL_MS,
      // The place of a pending link has its own, earlier time-out.
      connectTimeout: 60_000,
      maxClientsIdLength: MAX_ID_LENGTH,
      preConnect: (client, packet, done) => {
        this.#onConnect(client, packet, (accepted) => done(null, accepted))
      },
    })
    this.#hooks = hooks
    this.on('clientReady', (client) => this.#onReady(client))
    this.on('connectionError', (client, error) => this.#onError(client, error))
    this.on('clientError', (client, error) => this.#onError(client, error))
  }

  static async start(hooks: HandshakeHooks): Promise<HandshakeEngine> {
    const engine = new HandshakeEngine(hooks)
    await (engine as unknown as { listen(): Promise<void> }).listen()
    return engine
  }

  /** Takes the first packet of a link, which must be a whole CONNECT; it is copied. */
  begin(link: Link, frame: Buffer): void {
    const pipe = new HandshakePipe(link)
    this.#pipes.set(link, pipe)
    this.handle(pipe)
    pipe.push(Buffer.from(frame))
  }

  /** The link is closed, or needs aedes no longer. */
  end(link: Link): void {
    const pipe = this.#pipes.get(link)
    if (pipe === undefined) return
    this.#pipes.delete(link)
    pipe.destroy()
  }

  async stop(): Promise<void> {
    for (const link of [...this.#pipes.keys()]) this.end(link)
    await new Promise<void>((resolve) => this.close(() => resolve()))
  }

  /** aedes announces clients on `$SYS`. Nobody may listen there, so nothing is said. */
  override publish(_packet: unknown, second?: unknown, third?: unknown): void {
    const done = [second, third].find((argument) => typeof argument === 'function')
    if (done !== undefined) (done as () => void)()
  }

  /**
   * Sessions are ours. aedes would keep a timer with the whole client for as long as a client asks its session
   * to live, which is a way to fill the memory.
   */
  scheduleSessionExpiry(): void {}

  #onConnect(client: Client, packet: ConnectPacket, done: (accepted: boolean) => void): void {
    const pipe = client.conn as HandshakePipe
    this.#hooks.onConnect(pipe.link, packet).then(
      (accepted) => {
        if (!accepted || pipe.destroyed) return
        // Sessions are told apart by our key. An id of aedes's own keeps it from taking over by client id,
        // which devices share at will; keep-alive and will are not its business either.
        packet.clientId = `handshake-${this.#nextId++}`
        packet.keepalive = 0
        delete packet.will
        done(true)
      },
      (error: unknown) => this.#onError(client, error as Error),
    )
  }

  #onReady(client: Client): void {
    const { link } = client.conn as HandshakePipe
    if (!this.#pipes.has(link)) return
    this.end(link)
    this.#hooks.onReady(link)
  }

  #onError(client: Client, error: Error): void {
    const { link } = client.conn as HandshakePipe
    if (!this.#pipes.has(link)) return
    this.#hooks.onMalformed(link, error)
  }
}

/** The one that aedes brings would carry its own chatter and nothing else. */
function inertEmitter() {
  const call = (_first: unknown, second: unknown, third?: unknown) => {
    const done = third ?? second
    if (typeof done === 'function' && third !== undefined) done()
  }
  return {
    on: call,
    removeListener: call,
    emit: (_packet: unknown, done?: () => void) => done?.(),
    close: (done?: () => void) => done?.(),
  }
}

function inertPersistence() {
  const nothing = async () => {}
  return {
    setup: nothing,
    subscriptionsByClient: async () => [],
    cleanSubscriptions: nothing,
    outgoingStream: () => Readable.from([]),
    streamWill: () => Readable.from([]),
    putWill: nothing,
    delWill: nothing,
    destroy: nothing,
  }
}
