import { setTimeout as delay } from 'node:timers/promises'
import type { DeviceRecord } from '../contract/hub-state.ts'
import { type MqttClient, openMqtt } from './mqtt-client.ts'

/**
 * Two devices that exchange QoS 1 messages all the while a test does something nasty to their broker, and
 * tell afterwards what they noticed of it.
 */
export class Canary {
  readonly #publisher: MqttClient
  readonly #subscriber: MqttClient
  readonly #intervalMs: number
  readonly #sentAt: number[] = []
  readonly #delaysMs: number[] = []
  #stopped = false
  #running: Promise<void>

  constructor(publisher: MqttClient, subscriber: MqttClient, intervalMs: number) {
    this.#publisher = publisher
    this.#subscriber = subscriber
    this.#intervalMs = intervalMs
    this.#running = this.#run()
    // Whoever stops the canary sees what went wrong.
    this.#running.catch(() => {})
  }

  /** How many have made the round so far. */
  get messages(): number {
    return this.#delaysMs.length
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const index = this.#sentAt.length
      this.#sentAt.push(performance.now())
      await this.#publisher.publish('canary', String(index), { qos: 1 })
      await this.#subscriber.waitForMessages(1, (message) => message.text === String(index), 15_000)
      this.#delaysMs.push(performance.now() - (this.#sentAt[index] ?? 0))
      // Keeps the list that every wait searches short.
      const seen = this.#subscriber.messages.splice(0).map((message) => message.text)
      if (seen.length !== 1) throw new Error(`canary message ${index} came as ${seen.join(', ')}`)
      await delay(this.#intervalMs)
    }
  }

  /** Rejects when a message was lost, repeated or a link cut. */
  async stop(): Promise<{ messages: number; slowestMs: number }> {
    this.#stopped = true
    await this.#running
    if (this.#publisher.isClosed || this.#subscriber.isClosed) throw new Error('the link closed unnoticed')
    await this.#publisher.disconnect()
    await this.#subscriber.disconnect()
    return { messages: this.#delaysMs.length, slowestMs: Math.max(...this.#delaysMs) }
  }
}

export async function startCanary(
  port: number,
  [from, to]: readonly [DeviceRecord, DeviceRecord],
  intervalMs = 10,
): Promise<Canary> {
  const open = async (device: DeviceRecord) => {
    const client = await openMqtt({ port })
    const connack = await client.connect({ clientId: device.id })
    if (connack.returnCode !== 0) throw new Error(`canary refused: ${connack.returnCode}`)
    return client
  }
  const subscriber = await open(to)
  await subscriber.subscribe('canary', 1)
  return new Canary(await open(from), subscriber, intervalMs)
}
