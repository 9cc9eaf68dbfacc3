/** The way from the route worker to the broker of the same pod (`contract/pod-door.ts`). */
import { request } from 'node:http'
import { DOOR_TIMEOUT_MS, type DoorEvent, type DoorReply, type DoorVerdict } from '../contract/pod-door.ts'

export interface BrokerDoor {
  /** Rejects when the broker is not there or could not store the message. */
  publish(reply: DoorReply): Promise<DoorVerdict>
  /** Resolves also when nobody heard it: an event is no reason to hold up deliveries. */
  tell(event: DoorEvent): Promise<void>
}

const MAX_ANSWER_BYTES = 4096
/** Events that wait to be told; more than a hub has routes. */
const MAX_WAITING = 1_000

export function brokerDoor(socketPath: string): BrokerDoor {
  let told: Promise<unknown> = Promise.resolve()
  let waiting = 0
  return {
    publish: async (reply) => JSON.parse(await post(socketPath, '/reply', reply)) as DoorVerdict,
    // One after the other: hundreds of routes that fail at once are more than the broker takes connections.
    async tell(event) {
      if (waiting >= MAX_WAITING) return
      waiting += 1
      told = told.then(() => post(socketPath, '/event', event)).catch(() => {})
      await told
      waiting -= 1
    },
  }
}

function post(socketPath: string, path: string, body: object): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { socketPath, path, method: 'POST', timeout: DOOR_TIMEOUT_MS }
    const outgoing = request(options, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        text += chunk
        if (text.length > MAX_ANSWER_BYTES) response.destroy()
      })
      response.on('error', reject)
      response.on('end', () => {
        if (response.statusCode === 200) resolve(text)
        else reject(new Error(`the broker answered with ${response.statusCode}`))
      })
    })
    outgoing.on('timeout', () => outgoing.destroy(new Error('the broker did not answer')))
    outgoing.on('error', reject)
    outgoing.end(JSON.stringify(body))
  })
}
