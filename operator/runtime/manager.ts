/** Runs informers, controllers and an election together: in which order they start, and in which they stop. */
import type { Logger } from 'pino'
import { type Clock, pause } from '../../contract/clock.ts'
import type { Controller } from './controller.ts'
import { type Health, informerChecks, MAX_SYNC_AGE_MS } from './health.ts'
import type { LeaderElection } from './leader.ts'

const LAST_WORDS_MS = 5_000

/** What a manager needs of an informer, whatever its objects are. */
export interface ManagedInformer {
  readonly name: string
  readonly hasSynced: boolean
  start(): void
  stop(): Promise<void>
  whenSynced(signal: AbortSignal): Promise<void>
  lastSyncAge(): number
  isStuck(): boolean
}

export interface ManagerOptions {
  informers: readonly ManagedInformer[]
  controllers: readonly Controller[]
  /** Without one this process is taken to be alone. */
  election?: LeaderElection
  health: Health
  clock: Clock
  logger: Logger
  /** ms an informer's copy may be behind before the process is not ready. */
  maxSyncAgeMs?: number
  /** ms that runs going on get to end. Default 10,000; less than the pod's grace period. */
  stopTimeoutMs?: number
  /**
   * Runs when the controllers have stopped and writes are still allowed, e.g. to flush events. It has 5 s: with an API
   * server that does not answer the process would outlive its grace period, and the lease would not be given up.
   */
  beforeRelease?: () => Promise<void>
}

/** Why it ended: `stopped` was asked for; after `leadership-lost` the process must end and start anew. */
export type ManagerEnd = 'stopped' | 'leadership-lost'

/**
 * Resolves when `signal` aborted, or leadership was lost, and everything has stopped. A standby follows the API
 * server too, so that its first reconcile after a hand-over begins at once.
 */
export async function runManager(options: ManagerOptions, signal: AbortSignal): Promise<ManagerEnd> {
  const { informers, controllers, election, logger } = options
  addChecks(options)
  const end = election ? AbortSignal.any([signal, election.lost]) : signal
  for (const informer of informers) informer.start()
  for (const informer of informers) await informer.whenSynced(end)
  if (!end.aborted) logger.info({ informers: informers.map(({ name }) => name) }, 'informers are in step')
  election?.start()
  await election?.whenElected(end)
  if (!end.aborted) {
    for (const controller of controllers) controller.start()
    logger.info({ controllers: controllers.map(({ name }) => name) }, 'controllers are running')
  }
  await aborted(end)
  await stopAll(options)
  return signal.aborted ? 'stopped' : 'leadership-lost'
}

function addChecks({ informers, controllers, election, health, maxSyncAgeMs }: ManagerOptions): void {
  for (const informer of informers) {
    const { live, ready } = informerChecks(informer, maxSyncAgeMs ?? MAX_SYNC_AGE_MS)
    health.addLiveness(`informer-${informer.name}`, live)
    health.addReadiness(`informer-${informer.name}`, ready)
  }
  for (const controller of controllers) {
    health.addLiveness(`controller-${controller.name}`, () => {
      const stuck = controller.stuckRuns()
      return stuck > 0 ? `${stuck} runs neither end nor heed their signal` : undefined
    })
  }
  if (election) {
    health.addLiveness('leader-election', () =>
      election.isStuck() ? 'its loop does not turn any more' : undefined,
    )
  }
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })

async function stopAll(options: ManagerOptions): Promise<void> {
  const { informers, controllers, election, clock, logger, beforeRelease } = options
  // Writers first, then the lease, then the readers: the next leader must not begin while a run here goes on.
  const stopped = Promise.all(controllers.map((controller) => controller.stop()))
  if (!(await endsWithin(options.stopTimeoutMs ?? 10_000, stopped, clock)))
    logger.warn('some reconciles did not end in time')
  const released = beforeRelease?.().catch((error) =>
    logger.warn({ err: error }, 'clean-up before release failed'),
  )
  if (released && !(await endsWithin(LAST_WORDS_MS, released, clock)))
    logger.warn('clean-up before release did not end in time')
  await election?.stop()
  await Promise.all(informers.map((informer) => informer.stop()))
}

/** Waits for `work`, but no longer than `ms`; says whether it has ended. */
async function endsWithin(ms: number, work: Promise<unknown>, clock: Clock): Promise<boolean> {
  const ended = new AbortController()
  await Promise.race([work.then(() => ended.abort()), pause(clock, ms, ended.signal)])
  return ended.signal.aborted
}
