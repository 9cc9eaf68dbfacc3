/** Does what brokers of a hub ask for, and answers once it is in force: a broker that hears of it can read it. */
import type { Answer } from '../../contract/asks.ts'
import type { Hub } from '../api/resources.ts'
import type { Reconcile } from '../runtime/controller.ts'
import { isDeleting } from '../runtime/finalizer.ts'
import { done, requeueAfter } from '../runtime/outcome.ts'
import { answerEnrolment } from './answer-enrolment.ts'
import type { ReceivedAsk } from './ports.ts'
import { Provisioning, type ProvisioningRound } from './provisioning.ts'
import type { Tools } from './tools.ts'

/** Asks looked at in one run. More wait in Redis. */
const AT_ONCE = 500
/** Requests to the API server at a time. */
const PARALLEL = 8
/** For the case that a wake-up was lost. */
const LOOK_EVERY_MS = 30_000
/** For the case that what an ask waits for does not come. */
const LOOK_AGAIN_MS = 1_000

/** `wait`: it is under way; the next run looks again. */
export type Reply = Omit<Answer, 'id'> | 'wait'

export function asksReconcile(tools: Tools): Reconcile {
  const provisioning = new Provisioning(tools)
  return async (key, { signal }) => {
    const hub = tools.world.hubs.get(key)
    if (hub === undefined || isDeleting(hub)) {
      provisioning.forget(key)
      tools.openAsks.delete(key)
      return done()
    }
    const uid = hub.metadata.uid ?? ''
    const asks = await tools.publisher.asks(uid, AT_ONCE)
    if (asks.length === 0) {
      tools.openAsks.delete(key)
      return requeueAfter(LOOK_EVERY_MS)
    }
    // Before anything is made: whatever is published from now on wakes this loop.
    tools.openAsks.add(key)
    const round = provisioning.round(hub, signal)
    const waiting = await answerAll({ tools, hub, round, signal }, asks)
    if (waiting === 0) tools.openAsks.delete(key)
    return requeueAfter(waiting === asks.length ? LOOK_AGAIN_MS : 1)
  }
}

interface Run {
  tools: Tools
  hub: Hub
  round: ProvisioningRound
  signal: AbortSignal
}

/** How many have to wait. */
async function answerAll(run: Run, asks: readonly ReceivedAsk[]): Promise<number> {
  const left = [...asks]
  let waiting = 0
  const work = async () => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      run.signal.throwIfAborted()
      const reply = await answer(run, next)
      if (reply === 'wait') waiting += 1
      else await run.tools.publisher.answer(run.hub.metadata.uid ?? '', next.entry, { id: next.id, ...reply })
    }
  }
  await Promise.all(Array.from({ length: PARALLEL }, work))
  return waiting
}

async function answer({ round, hub, tools }: Run, { id, ask }: ReceivedAsk): Promise<Reply> {
  if (ask.kind === 'Enrol') {
    const enrolment = answerEnrolment(tools, hub, id, ask.request)
    return enrolment === 'wait' ? 'wait' : { enrolment }
  }
  const provisioning = await round.answer(id, ask.request)
  return provisioning === 'wait' ? 'wait' : { provisioning }
}
