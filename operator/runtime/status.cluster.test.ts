import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { installWidgets, TestNamespace } from '../../test-support/cluster.ts'
import { FakeClock } from '../../test-support/fake-clock.ts'
import { WIDGETS, type Widget } from '../../test-support/test-kinds.ts'
import { type Finding, ready, stalled } from './conditions.ts'
import { ensureFinalizer, finalize, removeFinalizer } from './finalizer.ts'
import { type StatusBase, writeStatus } from './status.ts'

interface WidgetStatus extends StatusBase {
  endpoint?: string
  count?: number
}

const signal = new AbortController().signal
const why = { reason: 'Succeeded', message: 'all is in place' }

let space: TestNamespace
let clock: FakeClock

beforeEach(async () => {
  space = await TestNamespace.create('status')
  await installWidgets(space.client)
  clock = new FakeClock()
})
afterEach(() => space.remove())

const write = (object: Widget, fields: Omit<WidgetStatus, keyof StatusBase>, findings: Finding[]) =>
  writeStatus<WidgetStatus>({
    client: space.client,
    clock,
    resource: WIDGETS,
    object: object as Widget & { status?: WidgetStatus },
    fieldManager: 'widget-controller',
    fields,
    findings,
    signal,
  })

const stored = () => space.get<Widget>(WIDGETS, 'one')

describe('writing a status', () => {
  it('stores fields, conditions and both generations in one request, and nothing the second time', async () => {
    await space.post(WIDGETS, 'one', { spec: { size: 1 } })
    await write(await stored(), { endpoint: 'mqtt://x' }, ready(why))
    const first = await stored()
    expect(first.status).toEqual({
      endpoint: 'mqtt://x',
      observedGeneration: 1,
      conditions: [
        {
          type: 'Ready',
          status: 'True',
          ...why,
          observedGeneration: 1,
          lastTransitionTime: '2026-01-01T00:00:00Z',
        },
      ],
    })
    await clock.advance(60_000)
    expect(await write(first, { endpoint: 'mqtt://x' }, ready(why))).toBeUndefined()
    expect((await stored()).metadata.resourceVersion).toBe(first.metadata.resourceVersion)
  })

  it('removes fields and conditions that are not there any more', async () => {
    await space.post(WIDGETS, 'one')
    await write(await stored(), { endpoint: 'mqtt://x', count: 3 }, stalled(why))
    await write(await stored(), { count: 4 }, ready(why))
    const { status } = await stored()
    expect(status).toMatchObject({ count: 4, conditions: [{ type: 'Ready', status: 'True' }] })
    expect(status).not.toHaveProperty('endpoint')
    expect(status?.['conditions']).toHaveLength(1)
  })

  it('answers for the generation it looked at, though the object has a newer one by now', async () => {
    await space.post(WIDGETS, 'one', { spec: { size: 1 } })
    const looked = await stored()
    await space.merge(WIDGETS, 'one', { spec: { size: 2 } })
    await write(looked, {}, ready(why))
    const { metadata, status } = await stored()
    expect(metadata.generation).toBe(2)
    expect(status).toMatchObject({ observedGeneration: 1, conditions: [{ observedGeneration: 1 }] })
  })

  it('leaves spec, metadata and generation alone', async () => {
    const before = await space.post<Widget>(WIDGETS, 'one', {
      spec: { size: 1 },
      metadata: { labels: { a: 'b' } },
    })
    await write(before, { count: 1 }, ready(why))
    const after = await stored()
    expect(after.spec).toEqual({ size: 1 })
    expect(after.metadata.labels).toEqual({ a: 'b' })
    expect(after.metadata.generation).toBe(before.metadata.generation)
  })

  it('writes nothing to an object that is gone, or to another that took its name', async () => {
    const first = await space.post<Widget>(WIDGETS, 'one')
    await space.delete(WIDGETS, 'one')
    expect(await write(first, {}, ready(why))).toBeUndefined()
    await space.post(WIDGETS, 'one')
    expect(await write(first, {}, ready(why))).toBeUndefined()
    expect((await stored()).status).toBeUndefined()
  })
})

describe('a finalizer', () => {
  const FINALIZER = 'runtime.test/clean-up'
  const FORCE = 'runtime.test/force-delete'
  const request = (object: Widget) => ({
    client: space.client,
    resource: WIDGETS,
    object,
    finalizer: FINALIZER,
    signal,
  })
  const finalizing = (object: Widget, cleanUp: () => Promise<void>) =>
    finalize({ ...request(object), clock, forceAnnotation: FORCE, giveUpAfterMs: 60_000, cleanUp })
  const isGone = () => expect(stored()).rejects.toMatchObject({ status: 404 })

  /** An object with our finalizer, being deleted. */
  async function deleting(): Promise<Widget> {
    await ensureFinalizer(request(await space.post<Widget>(WIDGETS, 'one')))
    await space.delete(WIDGETS, 'one')
    const object = await stored()
    await clock.advance(Date.parse(object.metadata.deletionTimestamp!) - clock.now())
    return object
  }

  it('is added once, beside those of others, and only to the version that was seen', async () => {
    const first = await space.post<Widget>(WIDGETS, 'one', { metadata: { finalizers: ['other.test/x'] } })
    expect(await ensureFinalizer(request(first))).toBe('added')
    expect(await ensureFinalizer(request(await stored()))).toBe('present')
    expect((await stored()).metadata.finalizers).toEqual(['other.test/x', FINALIZER])
    await expect(ensureFinalizer(request(first))).rejects.toMatchObject({ status: 409 })
    await removeFinalizer(request(await stored()))
    expect((await stored()).metadata.finalizers).toEqual(['other.test/x'])
    await space.merge(WIDGETS, 'one', { metadata: { finalizers: null } })
  })

  it('lets go once the clean-up succeeded', async () => {
    expect(await finalizing(await deleting(), async () => {})).toEqual({ clean: true })
    await isGone()
  })

  it('holds the object while the clean-up fails, until its time is up', async () => {
    const object = await deleting()
    const fail = () => Promise.reject(new Error('store is away'))
    await clock.advance(59_000)
    await expect(finalizing(object, fail)).rejects.toThrow('store is away')
    expect((await stored()).metadata.finalizers).toEqual([FINALIZER])
    await clock.advance(2_000)
    expect(await finalizing(object, fail)).toEqual({
      clean: false,
      left: 'given up after 60 s; clean-up failed: store is away',
    })
    await isGone()
  })

  it('lets go at once when a person says so, and still tries to clean up', async () => {
    await deleting()
    await space.merge(WIDGETS, 'one', { metadata: { annotations: { [FORCE]: 'true' } } })
    let tried = 0
    const result = await finalizing(await stored(), async () => {
      tried += 1
      throw new Error('store is away')
    })
    expect(result).toEqual({ clean: false, left: `${FORCE} is set; clean-up failed: store is away` })
    expect(tried).toBe(1)
    await isGone()
  })

  it('has nothing to do with an object that does not carry it', async () => {
    const object = await space.post<Widget>(WIDGETS, 'one')
    let tried = 0
    await finalizing(object, async () => {
      tried += 1
    })
    expect(tried).toBe(0)
  })

  it('does not mind that the object went meanwhile', async () => {
    const object = await deleting()
    await space.merge(WIDGETS, 'one', { metadata: { finalizers: null } })
    await isGone()
    await removeFinalizer(request(object))
  })
})
