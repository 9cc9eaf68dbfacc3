/** QoS 1 messages of persistent clients while pods come and go, every one of them counted. */
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { connect, type IClientOptions, type MqttClient } from 'mqtt'
import { waitUntil } from '../../test-support/wait.ts'
import type { DeviceFiles } from './site.fixture.ts'

export interface TrafficOptions {
  host: string
  sender: DeviceFiles
  receiver: DeviceFiles
  topic?: string
  /** Between two messages, ms. */
  everyMs?: number
}

export interface TrafficReport {
  acknowledged: number
  received: number
  /** Acknowledged, and never received. */
  lost: number[]
  /** Received more than once, beyond the first. */
  duplicated: number
  /** Links that the two clients had. */
  links: number
  /** Links that a client came back by, and was told that its session was gone. */
  sessionsLost: string[]
  /** Longest time without a message received, ms. */
  longestGapMs: number
}

/**
 * Of the hub. After a pause the sender may be back before the receiver is, and sends all at once what it kept: with
 * the thousand messages that a session's queue holds by default, a pause of some 15 s loses the oldest.
 */
export const QUEUE_FOR_TRAFFIC = { queue: { messages: 100_000 } }

const ALL_RECEIVED_MS = 120_000
const LINKED_MS = 60_000

/** Opens a link, and opens it again whenever it ends. Resolves with the first; a hub may have no ready pod just then. */
export async function persistentClient(
  host: string,
  files: DeviceFiles,
  clientId: string,
  onMessage: (topic: string, payload: Buffer) => void = () => {},
): Promise<MqttClient> {
  const options: IClientOptions = {
    clientId,
    clean: false,
    reconnectPeriod: 200,
    connectTimeout: 5_000,
    keepalive: 10,
    ca: readFileSync(files.cafile),
    cert: readFileSync(files.cert),
    key: readFileSync(files.key),
  }
  const client = connect(`mqtts://${host}:8883`, options)
  // What waits in a session comes right behind the answer to the CONNECT.
  client.on('message', onMessage)
  let last = 'no answer'
  // It says why a link could not be opened, and tries again.
  client.on('error', ({ message }) => {
    last = message
  })
  try {
    await waitUntil(`a link to ${host}`, () => client.connected, { timeoutMs: LINKED_MS, intervalMs: 20 })
  } catch (cause) {
    await client.endAsync(true)
    throw new Error(`${clientId}: no link to ${host}: ${last}`, { cause })
  }
  return client
}

/** One device that sends numbers and one that collects them, both with sessions that outlive their links. */
export class Traffic {
  readonly #sender: MqttClient
  readonly #receiver: MqttClient
  readonly #topic: string
  readonly #acknowledged = new Set<number>()
  readonly #received = new Map<number, number>()
  readonly #unanswered = new Set<number>()
  #links = 2
  readonly #sessionsLost: string[] = []
  #next = 1
  #last = performance.now()
  #longestGapMs = 0
  #sending: Promise<void>
  #stopped = false

  private constructor(sender: MqttClient, receiver: MqttClient, options: TrafficOptions) {
    this.#sender = sender
    this.#receiver = receiver
    this.#topic = options.topic ?? 'traffic'
    for (const client of [sender, receiver]) {
      client.on('connect', ({ sessionPresent }) => {
        this.#links += 1
        // A client that then subscribes anew has missed what was sent before.
        if (!sessionPresent) this.#sessionsLost.push(`${client.options.clientId} before ${this.#next}`)
      })
    }
    receiver.on('message', (_, payload) => this.#take(Number(payload.toString())))
    this.#sending = this.#send(options.everyMs ?? 10)
  }

  static async start(options: TrafficOptions): Promise<Traffic> {
    const receiver = await persistentClient(options.host, options.receiver, 'receiver')
    await receiver.subscribeAsync(options.topic ?? 'traffic', { qos: 1 })
    const sender = await persistentClient(options.host, options.sender, 'sender')
    const traffic = new Traffic(sender, receiver, options)
    await traffic.untilFlowing()
    return traffic
  }

  /** Resolves once messages that are sent from now on have come through. */
  async untilFlowing(count = 20): Promise<void> {
    const from = this.#next
    const came = () => [...this.#received.keys()].filter((number) => number >= from).length >= count
    await waitUntil('messages flow', came, { timeoutMs: ALL_RECEIVED_MS, intervalMs: 100 })
  }

  /** Sends no more, waits for what is under way and says how it went. */
  async stop(): Promise<TrafficReport> {
    this.#stopped = true
    await this.#sending
    const settled = () => this.#unanswered.size === 0 && this.#lost().length === 0
    // What is still missing after this is lost, and told as such.
    await waitUntil('all is received', settled, { timeoutMs: ALL_RECEIVED_MS, intervalMs: 200 }).catch(
      () => {},
    )
    await Promise.all([this.#sender.endAsync(true), this.#receiver.endAsync(true)])
    const received = [...this.#received.values()]
    return {
      acknowledged: this.#acknowledged.size,
      received: received.length,
      lost: this.#lost(),
      duplicated: received.reduce((sum, times) => sum + times - 1, 0),
      links: this.#links,
      sessionsLost: this.#sessionsLost,
      longestGapMs: Math.round(this.#longestGapMs),
    }
  }

  async #send(everyMs: number): Promise<void> {
    while (!this.#stopped) {
      const number = this.#next
      this.#next += 1
      this.#unanswered.add(number)
      // Between two links it is kept by the client, and sent when there is one again.
      this.#sender.publish(this.#topic, String(number), { qos: 1 }, (error) => {
        this.#unanswered.delete(number)
        if (!error) this.#acknowledged.add(number)
      })
      await delay(everyMs)
    }
  }

  #take(number: number): void {
    const now = performance.now()
    this.#longestGapMs = Math.max(this.#longestGapMs, now - this.#last)
    this.#last = now
    this.#received.set(number, (this.#received.get(number) ?? 0) + 1)
  }

  #lost(): number[] {
    return [...this.#acknowledged].filter((number) => !this.#received.has(number))
  }
}
