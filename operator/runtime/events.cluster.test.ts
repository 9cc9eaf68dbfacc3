import pino from 'pino'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { adminConfig, installWidgets, TestNamespace } from '../../test-support/cluster.ts'
import { FakeClock } from '../../test-support/fake-clock.ts'
import { FaultProxy } from '../../test-support/fault-proxy.ts'
import { CONFIG_MAPS, WIDGETS } from '../../test-support/test-kinds.ts'
import { type ApiClient, createApiClient } from './api-client.ts'
import { EventRecorder, type EventRecorderOptions, type EventText } from './events.ts'
import type { KubeObject, Resource } from './resource.ts'

const EVENTS: Resource = { apiVersion: 'events.k8s.io/v1', kind: 'Event', plural: 'events', namespaced: true }

interface Event extends KubeObject {
  type: string
  reason: string
  action: string
  note: string
  regarding: { kind: string; name: string; uid: string }
  series?: { count: number }
}

let space: TestNamespace
let proxy: FaultProxy
let client: ApiClient
let clock: FakeClock
let widget: KubeObject

beforeEach(async () => {
  space = await TestNamespace.create('events')
  await installWidgets(space.client)
  proxy = new FaultProxy(adminConfig())
  client = createApiClient({ kubeConfig: await proxy.start() })
  clock = new FakeClock(Date.now())
  widget = await space.post(WIDGETS, 'one')
})
afterEach(async () => {
  client.close()
  await proxy.stop()
  await space.remove()
})

const recorder = (options: Partial<EventRecorderOptions> = {}) =>
  new EventRecorder({
    client,
    clock,
    logger: pino({ level: 'silent' }),
    controller: 'runtime.test/operator',
    instance: 'operator-0',
    ...options,
  })
const issued: EventText = { type: 'Normal', reason: 'Issued', action: 'Issue', note: 'certificate 01 issued' }
const events = () => space.list<Event>(EVENTS)
const writes = () => proxy.seen.filter(({ method }) => method !== 'GET').length

/** Requests take real time, what lies between two attempts that of the clock. */
async function asTimeGoesBy(flushed: Promise<void>): Promise<void> {
  let isOver = false
  const over = flushed.finally(() => {
    isOver = true
  })
  while (!isOver) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    await clock.advance(1_000)
  }
  await over
}

describe('an event recorder', () => {
  it('writes an event that kubectl describe shows under the object', async () => {
    const sink = recorder()
    sink.event(widget, issued)
    await sink.flush()
    const [event] = await events()
    expect(event).toMatchObject({
      ...issued,
      reportingController: 'runtime.test/operator',
      reportingInstance: 'operator-0',
      regarding: { apiVersion: 'runtime.test/v1', kind: 'Widget', name: 'one', uid: widget.metadata.uid },
    })
    // describe asks the old API for the object's uid.
    const core: Resource = { ...EVENTS, apiVersion: 'v1' }
    expect(
      await space.list(core, { fieldSelector: `involvedObject.uid=${widget.metadata.uid}` }),
    ).toHaveLength(1)
  })

  it('counts the same event as a series: the second time at once, then at most once a minute', async () => {
    const sink = recorder()
    for (let n = 0; n < 2; n += 1) {
      sink.event(widget, issued)
      await sink.flush()
    }
    expect((await events()).map(({ series }) => series?.count)).toEqual([2])
    const before = writes()
    for (let n = 0; n < 50; n += 1) sink.event(widget, issued)
    expect(writes()).toBe(before)
    await clock.advance(60_000)
    await sink.flush()
    expect((await events()).map(({ series }) => series?.count)).toEqual([52])
    expect(writes()).toBe(before + 1)
  })

  it('takes another note, reason, type or object for another event, and a series that rested for a new one', async () => {
    const sink = recorder()
    const other = await space.post(WIDGETS, 'two')
    sink.event(widget, issued)
    sink.event(widget, { ...issued, note: 'certificate 02 issued' })
    sink.event(widget, { ...issued, reason: 'Renewed' })
    sink.event(widget, { ...issued, type: 'Warning' })
    sink.event(other, issued)
    await clock.advance(360_001)
    sink.event(widget, issued)
    await sink.flush()
    expect(await events()).toHaveLength(6)
  })

  it('cuts off an object that raises too many, and lets others through', async () => {
    const sink = recorder({ burst: 3, refillMs: 10_000 })
    const other = await space.post(WIDGETS, 'two')
    for (let n = 0; n < 10; n += 1) sink.event(widget, { ...issued, note: `number ${n}` })
    sink.event(other, issued)
    await sink.flush()
    expect((await events()).filter(({ regarding }) => regarding.name === 'one')).toHaveLength(3)
    expect((await events()).filter(({ regarding }) => regarding.name === 'two')).toHaveLength(1)
    expect(sink.dropped).toBe(7)
    await clock.advance(20_000)
    for (let n = 10; n < 20; n += 1) sink.event(widget, { ...issued, note: `number ${n}` })
    await sink.flush()
    expect((await events()).filter(({ regarding }) => regarding.name === 'one')).toHaveLength(5)
  })

  it('tries again when the API server fails, gives up in the end, and holds nobody up meanwhile', async () => {
    let left = 2
    proxy.rule = () => {
      left -= 1
      return left >= 0 ? { kind: 'answer', status: 503 } : undefined
    }
    const sink = recorder()
    sink.event(widget, issued)
    // Whoever tells of something goes on before anybody has answered.
    expect(writes()).toBe(0)
    await asTimeGoesBy(sink.flush())
    expect(await events()).toHaveLength(1)

    proxy.rule = () => ({ kind: 'answer', status: 503 })
    sink.event(widget, { ...issued, reason: 'Other' })
    await asTimeGoesBy(sink.flush())
    expect(sink.dropped).toBe(1)
  })

  it('begins a series anew when the API server has forgotten it', async () => {
    const sink = recorder()
    sink.event(widget, issued)
    await sink.flush()
    const [event] = await events()
    await space.delete(EVENTS, event!.metadata.name!)
    sink.event(widget, issued)
    await asTimeGoesBy(sink.flush())
    expect((await events()).map(({ series }) => series?.count)).toEqual([2])
  })

  it('takes a long note and a long name within the API’s bounds', async () => {
    const name = `w${'x'.repeat(252)}`
    const sink = recorder()
    sink.event(await space.post(CONFIG_MAPS, name), { ...issued, note: 'n'.repeat(5_000) })
    await sink.flush()
    const [event] = await events()
    expect(event?.note).toHaveLength(1_024)
    expect(sink.dropped).toBe(0)
  })

  it('writes nothing after it was stopped', async () => {
    const sink = recorder()
    await sink.stop()
    sink.event(widget, issued)
    await sink.flush()
    expect(writes()).toBe(0)
  })
})
