import type { Duplex } from 'node:stream'
import {
  generate,
  type IConnackPacket,
  type IConnectPacket,
  type IPublishPacket,
  type ISubackPacket,
  type ISubscription,
  type Packet,
  parser,
  type QoS,
} from 'mqtt-packet'
import { type LinkAddress, openLink } from './mqtt-link.ts'
import { PATIENCE_MS } from './wait.ts'

export type ProtocolVersion = 3 | 4 | 5

/** What a PUBLISH brought, payload always as bytes. */
export interface ReceivedMessage {
  topic: string
  payload: Buffer
  text: string
  qos: QoS
  retain: boolean
  dup: boolean
  packetId?: number
  properties: NonNullable<IPublishPacket['properties']>
}

export interface PublishOptions {
  qos?: QoS
  retain?: boolean
  dup?: boolean
  packetId?: number
  properties?: IPublishPacket['properties']
}

export interface ClientOptions {
  version?: ProtocolVersion
  /** Off: PUBLISH and PUBREL from the broker are left unanswered, so the test can answer or not. */
  autoAck?: boolean
}

/**
 * An MQTT client without opinions: sends any packet or bytes at any moment and shows every packet that comes
 * back. Built on mqtt-packet, not on a client library, so that nothing is repaired on the way.
 */
export class MqttClient {
  /** Every PUBLISH, in the order of arrival. */
  readonly messages: ReceivedMessage[] = []
  /** Settles when the link is gone, whoever ended it. */
  readonly closed: Promise<void>
  isClosed = false
  readonly #stream: Duplex
  readonly #version: ProtocolVersion
  readonly #inbox: Packet[] = []
  readonly #wakeUps = new Set<() => void>()
  #nextId = 1

  constructor(stream: Duplex, { version = 4, autoAck = true }: ClientOptions = {}) {
    this.#stream = stream
    this.#version = version
    const decoder = parser({ protocolVersion: version })
    decoder.on('packet', (packet: Packet) => {
      if (autoAck) this.#answer(packet)
      this.#take(packet)
    })
    decoder.on('error', (error: Error) => stream.destroy(error))
    stream.on('data', (chunk: Buffer) => decoder.parse(chunk))
    // A reset is one way of being closed; tests look at `closed`.
    stream.on('error', () => {})
    this.closed = new Promise((resolve) => {
      const end = () => {
        this.isClosed = true
        resolve()
        this.#wake()
      }
      stream.once('close', end)
      stream.once('end', () => stream.destroy())
    })
  }

  send(packet: Packet): void {
    this.sendBytes(generate(packet, { protocolVersion: this.#version }))
  }

  sendBytes(bytes: Uint8Array): void {
    if (!this.#stream.destroyed) this.#stream.write(bytes)
  }

  /** Sends CONNECT and gives the CONNACK, accepted or not. Rejects when the link closes without one. */
  async connect(options: Partial<Omit<IConnectPacket, 'cmd'>> = {}): Promise<IConnackPacket> {
    this.send({
      cmd: 'connect',
      protocolId: this.#version === 3 ? 'MQIsdp' : 'MQTT',
      protocolVersion: this.#version,
      clientId: '',
      clean: true,
      keepalive: 0,
      ...options,
    })
    return await this.waitFor('connack')
  }

  /** Granted QoS or reason code per filter, in order. */
  async subscribe(
    filters: string | readonly (string | ISubscription)[],
    qos: QoS = 0,
    properties?: { subscriptionIdentifier?: number },
  ): Promise<number[]> {
    const wanted = typeof filters === 'string' ? [filters] : filters
    const messageId = this.#packetId()
    this.send({
      cmd: 'subscribe',
      messageId,
      subscriptions: wanted.map((entry) => (typeof entry === 'string' ? { topic: entry, qos } : entry)),
      ...(properties === undefined ? {} : { properties }),
    })
    const suback: ISubackPacket = await this.waitFor('suback', (packet) => packet.messageId === messageId)
    return suback.granted.map(Number)
  }

  async unsubscribe(filters: string | string[]): Promise<void> {
    const messageId = this.#packetId()
    this.send({ cmd: 'unsubscribe', messageId, unsubscriptions: [filters].flat() })
    await this.waitFor('unsuback', (packet) => packet.messageId === messageId)
  }

  /** Resolves when the whole acknowledgement is through; the number is the v5 reason code, else 0. */
  async publish(topic: string, payload: string | Buffer, options: PublishOptions = {}): Promise<number> {
    const { qos = 0, packetId = this.#packetId() } = options
    this.sendPublish(topic, payload, { ...options, packetId })
    if (qos === 0) return 0
    const mine = (packet: Packet) => packet.messageId === packetId
    if (qos === 1) return (await this.waitFor('puback', mine)).reasonCode ?? 0
    const received = (await this.waitFor('pubrec', mine)).reasonCode ?? 0
    if (received >= 0x80) return received
    this.send({ cmd: 'pubrel', messageId: packetId })
    await this.waitFor('pubcomp', mine)
    return received
  }

  /** The PUBLISH alone, without waiting. Returns its packet id. */
  sendPublish(topic: string, payload: string | Buffer, options: PublishOptions = {}): number {
    const { qos = 0, retain = false, dup = false, packetId = this.#packetId(), properties } = options
    this.send({
      cmd: 'publish',
      topic,
      payload,
      qos,
      retain,
      dup,
      ...(qos === 0 ? {} : { messageId: packetId }),
      ...(properties === undefined ? {} : { properties }),
    })
    return packetId
  }

  async ping(): Promise<void> {
    this.send({ cmd: 'pingreq' })
    await this.waitFor('pingresp')
  }

  /** The oldest packet of that kind not yet taken; waits for it. Rejects at once when the link closes. */
  async waitFor<C extends Exclude<Packet['cmd'], 'publish'>>(
    cmd: C,
    matches: (packet: Extract<Packet, { cmd: C }>) => boolean = () => true,
    timeoutMs = PATIENCE_MS,
  ): Promise<Extract<Packet, { cmd: C }>> {
    const find = () => {
      const at = this.#inbox.findIndex((p) => p.cmd === cmd && matches(p as Extract<Packet, { cmd: C }>))
      return at < 0 ? undefined : (this.#inbox.splice(at, 1)[0] as Extract<Packet, { cmd: C }>)
    }
    return await this.#untilFound(cmd, find, timeoutMs)
  }

  /** Waits until `count` messages (that satisfy `matches`) have come in all, and returns them. */
  async waitForMessages(
    count: number,
    matches: (message: ReceivedMessage) => boolean = () => true,
    timeoutMs = PATIENCE_MS,
  ): Promise<ReceivedMessage[]> {
    const enough = () => {
      const found = this.messages.filter(matches)
      return found.length >= count ? found : undefined
    }
    return await this.#untilFound(`message ${count}`, enough, timeoutMs)
  }

  /** Says goodbye, so that no will is published. */
  async disconnect(): Promise<void> {
    this.send({ cmd: 'disconnect' })
    this.#stream.end()
    await this.closed
  }

  /** Cuts the link without a word, so that a will is published. */
  close(): void {
    this.#stream.destroy()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  /** Stops taking bytes from the socket: a frozen subscriber. */
  freeze(): void {
    this.#stream.pause()
  }

  async #untilFound<T>(what: string, find: () => T | undefined, timeoutMs: number): Promise<T> {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      const found = find()
      if (found !== undefined) return found
      const left = deadline - performance.now()
      if (left <= 0) throw new Error(`no ${what} within ${timeoutMs} ms; ${this.#summary()}`)
      if (this.isClosed) throw new Error(`the link closed before ${what}; ${this.#summary()}`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(wake, left)
        const wakeUps = this.#wakeUps
        function wake() {
          clearTimeout(timer)
          wakeUps.delete(wake)
          resolve()
        }
        wakeUps.add(wake)
      })
    }
  }

  #summary(): string {
    const waiting = this.#inbox.map((packet) => packet.cmd).slice(-10)
    return `received ${this.messages.length} messages; not taken: ${waiting.join(' ') || 'nothing'}`
  }

  #packetId(): number {
    const id = this.#nextId
    this.#nextId = id >= 65_535 ? 1 : id + 1
    return id
  }

  #answer(packet: Packet): void {
    if (packet.cmd === 'publish' && packet.qos > 0) {
      this.send({ cmd: packet.qos === 1 ? 'puback' : 'pubrec', messageId: packet.messageId ?? 0 })
    } else if (packet.cmd === 'pubrel') {
      this.send({ cmd: 'pubcomp', messageId: packet.messageId ?? 0 })
    }
  }

  #take(packet: Packet): void {
    if (packet.cmd === 'publish') this.messages.push(received(packet))
    else this.#inbox.push(packet)
    this.#wake()
  }

  #wake(): void {
    for (const wake of [...this.#wakeUps]) wake()
  }
}

function received(packet: IPublishPacket): ReceivedMessage {
  const payload = Buffer.from(packet.payload)
  return {
    topic: packet.topic,
    payload,
    text: payload.toString(),
    qos: packet.qos,
    retain: packet.retain,
    dup: packet.dup,
    ...(packet.messageId === undefined ? {} : { packetId: packet.messageId }),
    properties: packet.properties ?? {},
  }
}

/** The code of a CONNACK, whichever protocol version it is of. */
export const connackCode = (connack: IConnackPacket): number => connack.reasonCode ?? connack.returnCode ?? -1

/** Opens a link and gives the client on it, without sending anything. */
export async function openMqtt(address: LinkAddress & ClientOptions): Promise<MqttClient> {
  return new MqttClient(await openLink(address), address)
}
