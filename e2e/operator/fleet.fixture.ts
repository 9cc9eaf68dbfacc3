import { SECRETS, type Secret } from '../../operator/api/resources.ts'
import { textOf } from '../../operator/operator.fixture.ts'
import type { TestNamespace } from '../../test-support/cluster.ts'
import { connackCode, type MqttClient, openMqtt } from '../../test-support/mqtt-client.ts'
import type { PodOfDeployment } from './pod-of-deployment.fixture.ts'

/** Handshakes at a time: TLS of both ends is done on the same two cores. */
const AT_ONCE = 32

/** Does it for all, some at a time. */
export async function forAll<T>(items: Iterable<T>, work: (item: T) => Promise<unknown>): Promise<void> {
  const queue = [...items]
  const worker = async () => {
    for (let item = queue.pop(); item !== undefined; item = queue.pop()) await work(item)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}

/** What a device has in its flash. */
interface Credentials {
  ca: string
  cert: string
  key: string
}

/** A device that is always connected and never looks at anything but its own Secret. */
export class FleetDevice {
  readonly name: string
  readonly #pod: PodOfDeployment
  readonly #listener: 'mqtts' | 'wss'
  client: MqttClient | undefined
  credentials: Credentials | undefined
  closedAt: number | undefined

  constructor(pod: PodOfDeployment, name: string, listener: 'mqtts' | 'wss') {
    this.#pod = pod
    this.name = name
    this.#listener = listener
  }

  /** Leaves and comes back with what it has. Rejects when it is not let in. */
  async reconnect(): Promise<void> {
    await this.client?.disconnect()
    const code = await this.attempt()
    if (code !== 0) throw new Error(`${this.name} was refused with ${code} on ${this.#listener}`)
  }

  /** The answer to a CONNECT; 'closed' where the link ended before. */
  async attempt(): Promise<number | 'closed'> {
    try {
      const client = await openMqtt({
        port: this.#pod.port(this.#listener),
        listener: this.#listener,
        tls: { ...this.credentials!, servername: 'hub-fleet' },
      })
      const code = connackCode(await client.connect({ clientId: 'x', keepalive: 600 }))
      if (code !== 0) {
        client.close()
        return code
      }
      this.client = client
      this.closedAt = undefined
      void client.closed.then(() => {
        if (this.client === client) this.closedAt = performance.now()
      })
      return 0
    } catch {
      return 'closed'
    }
  }
}

/** Takes from the Secrets what is new in them, and returns the devices that got another certificate. */
export async function readSecrets(
  space: TestNamespace,
  fleet: ReadonlyMap<string, FleetDevice>,
): Promise<FleetDevice[]> {
  const changed: FleetDevice[] = []
  for (const secret of await space.list<Secret>(SECRETS)) {
    const device = fleet.get(/^device-(.+)-tls$/.exec(secret.metadata.name ?? '')?.[1] ?? '')
    if (device === undefined) continue
    const [ca, cert, key] = ['ca.crt', 'tls.crt', 'tls.key'].map((name) => textOf(secret, name))
    if (device.credentials?.cert !== cert) changed.push(device)
    device.credentials = { ca: ca ?? '', cert: cert ?? '', key: key ?? '' }
  }
  return changed
}
