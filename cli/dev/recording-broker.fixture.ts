import type { Broker, BrokerOptions } from '../../broker/create-broker.ts'
import { ALLOWED } from '../../broker/policy/verdict.ts'

/** Stands for a broker at its interface: what counts here is which hubs are started, told and stopped. */
export class RecordingBroker implements Broker {
  readonly ports: Broker['ports']
  readonly #options: BrokerOptions
  readonly #log: string[]
  readonly #name: string

  constructor(options: BrokerOptions, log: string[]) {
    this.#options = options
    this.#log = log
    this.#name = options.state.hub().name
    this.ports = Object.fromEntries(Object.entries(options.listeners).map(([name, { port }]) => [name, port]))
  }

  async start(): Promise<this> {
    await this.#options.state.start(() => this.#log.push(`changed ${this.#name}`))
    this.#log.push(`started ${this.#name}`)
    return this
  }

  setCredentials(): void {
    this.#log.push(`credentials ${this.#name}`)
  }

  activity = () => []
  closeLinks(): void {}
  raise(): void {}
  publishReply = async () => ALLOWED
  metrics = async () => ''

  async stop(): Promise<void> {
    this.#log.push(`stopped ${this.#name}`)
  }
}
