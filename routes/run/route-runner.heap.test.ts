import { expect, it } from 'vitest'
import { FakeClock } from '../../test-support/fake-clock.ts'
import { route } from '../../test-support/hub-state.ts'
import { liveHeap } from '../../test-support/live-heap.ts'
import type { Sink } from '../sinks/sink.ts'
import { deliveryPolicy } from './delivery-policy.ts'
import { MemoryRouteStream } from './memory-route-stream.fixture.ts'
import { RouteCounters } from './route-counters.ts'
import { RouteRunner } from './route-runner.ts'

const MESSAGES = 20_000
const ROUND = 500
/** A twentieth of what one forgotten signal a message would hold. */
const BYTES_A_MESSAGE = 60

it('holds on to nothing of the messages that it has delivered', async () => {
  const stream = new MemoryRouteStream()
  const sink: Sink = { deliver: async () => ({ ok: true }), close: async () => {} }
  const { spec } = route({ spec: { delivery: { partitions: 1 } } })
  const runner = new RouteRunner({
    routeId: 'r',
    policy: deliveryPolicy(spec),
    partitions: [0],
    stream,
    sink,
    prepare: (entry) => ({ take: true, entry }),
    counters: new RouteCounters(),
    clock: new FakeClock(),
    random: () => 1,
    mayDeliver: () => true,
    onFault: () => {},
  })
  runner.start()
  const deliver = async (count: number) => {
    for (let n = 0; n < count; n += 1)
      stream.append('r', 1, { topic: `t/${n % 10}`, payload: Buffer.from('x') })
    while ((await stream.backlog('r')).messages > 0) await new Promise((resolve) => setImmediate(resolve))
  }
  await deliver(ROUND)
  const before = await liveHeap()
  for (let sent = 0; sent < MESSAGES; sent += ROUND) await deliver(ROUND)
  const grown = (await liveHeap()) - before
  await runner.stop(0)
  expect(grown / MESSAGES).toBeLessThan(BYTES_A_MESSAGE)
})
