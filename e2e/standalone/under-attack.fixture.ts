/** A broker in a process of its own that is attacked while two devices go on as if nothing were. */
import { connect } from 'node:net'
import { expect } from 'vitest'
import type { ListenerName } from '../../broker/policy/link.ts'
import type { HubLimits } from '../../contract/hub-state.ts'
import { type BrokerProcess, startBrokerProcess } from '../../test-support/broker-process.ts'
import { type Canary, startCanary } from '../../test-support/canary.ts'
import { device, hub, network } from '../../test-support/hub-state.ts'
import { waitUntil } from '../../test-support/wait.ts'

const MEMORY_MARGIN = 1.2
/** The canary shares two cores with the attack: slow is allowed, blocked is not. */
export const CANARY_SLOWEST_MS = 5_000

export const victim = device({ name: 'victim', allowMultipleConnections: true })
export const canaries = [device({ name: 'canary 1' }), device({ name: 'canary 2' })] as const
export const TOKEN = 'a-token'

export async function start(
  listeners: readonly ListenerName[],
  limits: Partial<HubLimits> = {},
): Promise<BrokerProcess> {
  const bounded = { retainedMessages: 100, retainedBytes: 100_000, queueMessages: 100, ...limits }
  return await startBrokerProcess(
    {
      hub: hub({ limits: bounded }),
      devices: [victim, ...canaries],
      networks: [network({ name: 'rest', token: TOKEN })],
    },
    listeners,
  )
}

/** Runs `attack` under watch. The warm-up runs first, so that compiled code and pools are not called a leak. */
export async function underWatch(
  broker: BrokerProcess,
  { warmUp, attack }: { warmUp: () => Promise<unknown>; attack: () => Promise<unknown> },
): Promise<void> {
  await warmUp()
  const canary: Canary = await startCanary(broker.port('mqtt'), canaries)
  const before = await broker.memory()
  await attack()
  const { messages, slowestMs } = await canary.stop()
  expect(broker.ending).toBeUndefined()
  expect(messages).toBeGreaterThan(5)
  expect(slowestMs).toBeLessThan(CANARY_SLOWEST_MS)
  expect((await broker.eventCounts())['LOGGED_ERROR']).toBeUndefined()
  await expectMemoryBack(broker, before)
}

async function expectMemoryBack(broker: BrokerProcess, before: NodeJS.MemoryUsage): Promise<void> {
  const used = (memory: NodeJS.MemoryUsage) => memory.heapUsed + memory.external
  // Timers of closed links may hold a little for a moment.
  const after = await waitUntil(
    'memory within 20 % of its start',
    async () => {
      const memory = await broker.memory()
      return used(memory) < used(before) * MEMORY_MARGIN ? memory : undefined
    },
    { intervalMs: 200 },
  )
  expect(used(after)).toBeLessThan(used(before) * MEMORY_MARGIN)
}

/** A link that says what it sent and sees how it ends. */
export async function rawLink(port: number, ...chunks: readonly (Buffer | string)[]): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1' })
  const answer: Buffer[] = []
  socket.on('data', (chunk) => answer.push(chunk))
  socket.on('error', () => {})
  for (const chunk of chunks) socket.write(chunk)
  await waitForClose(socket)
  return Buffer.concat(answer).toString('latin1')
}

export async function waitForClose(socket: ReturnType<typeof connect>, timeoutMs = 60_000): Promise<void> {
  const timer = setTimeout(() => socket.destroy(new Error('still open')), timeoutMs)
  const failed = new Promise<never>((_, reject) =>
    socket.on('error', (error) => {
      if (error.message === 'still open') reject(error)
    }),
  )
  // Not `once`: it rejects on an error, and a reset is one of the ways to be cut off.
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()))
  await Promise.race([closed, failed])
  clearTimeout(timer)
}
