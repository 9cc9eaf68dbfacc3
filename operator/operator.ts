/** Puts the operator together: one world, one loop a kind, one for the state of hubs. */
import { randomBytes } from 'node:crypto'
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import type { Clock } from '../contract/clock.ts'
import { SECRETS, type Secret } from './api/resources.ts'
import type { BuildSettings } from './build/object.ts'
import { RecordMemo } from './compile/record-memo.ts'
import { Activities } from './reconcile/activities.ts'
import { asksReconcile } from './reconcile/asks.ts'
import { ComputedStatuses } from './reconcile/computed-statuses.ts'
import { deviceReconcile } from './reconcile/device.ts'
import { Enrolments } from './reconcile/enrolments.ts'
import { HeldCertificates } from './reconcile/held-certificates.ts'
import { hubReconcile } from './reconcile/hub.ts'
import { hubActivityReconcile } from './reconcile/hub-activity.ts'
import { HubStatePacer, hubStateReconcile } from './reconcile/hub-state.ts'
import { networkReconcile } from './reconcile/network.ts'
import { PublishedHubs } from './reconcile/published.ts'
import { routeReconcile } from './reconcile/route.ts'
import { routeActivityReconcile } from './reconcile/route-activity.ts'
import { RouteReportsSeen } from './reconcile/route-reports.ts'
import { TokenIssuerReader } from './reconcile/token-issuer.ts'
import type { Tools } from './reconcile/tools.ts'
import { RedisPublisher } from './redis/hub-state-publisher.ts'
import { createApiClient } from './runtime/api-client.ts'
import { isNotFound } from './runtime/api-error.ts'
import type { BackoffPolicy } from './runtime/backoff.ts'
import { createClientMetrics } from './runtime/client-metrics.ts'
import { systemClock } from './runtime/clock.ts'
import type { ClusterAccess } from './runtime/cluster-access.ts'
import { Controller, type Reconcile } from './runtime/controller.ts'
import { createControllerMetrics } from './runtime/controller-metrics.ts'
import { EventRecorder } from './runtime/events.ts'
import { guardWrites } from './runtime/guard-writes.ts'
import { Health } from './runtime/health.ts'
import { createInformerMetrics } from './runtime/informer-metrics.ts'
import { LeaderElection } from './runtime/leader.ts'
import { createLeaderMetrics } from './runtime/leader-metrics.ts'
import { type ManagerEnd, runManager } from './runtime/manager.ts'
import { createQueueMetrics } from './runtime/queue-metrics.ts'
import type { InformerTimes } from './runtime/reflector.ts'
import { keyOf, objectKey, objectPath, splitKey } from './runtime/resource.ts'
import type { Scope } from './watch/informer-set.ts'
import { NamespaceGate } from './watch/namespace-gate.ts'
import { SecretReader } from './watch/secret-reader.ts'
import { connectTriggers, type Wakers, wakeMembers } from './watch/triggers.ts'
import { createWorld } from './watch/world.ts'

export interface OperatorOptions {
  access: ClusterAccess
  logger: Logger
  registry: Registry
  /** Namespaces that are watched, or all. */
  scope: Exclude<Scope, 'on-demand'>
  /** Where the lease and the default Redis Secret are. */
  namespace: string
  /** Unique to this process, also after a restart under the same host name. */
  identity: string
  leaseName: string
  settings: BuildSettings
  /** Name of a Secret in `namespace`. */
  defaultRedisSecret?: string
  concurrency: Readonly<Record<'hub' | 'device' | 'member', number>>
  /** Below are for tests, which cannot wait for minutes. */
  clock?: Clock
  times?: Partial<InformerTimes>
  timeoutMs?: number
  backoff?: BackoffPolicy
  activityEveryMs?: number
  lease?: { durationMs: number; renewDeadlineMs: number; retryMs: number }
}

export interface RunningOperator {
  health: Health
  /** After `leadership-lost` the process must end and start anew. */
  ended: Promise<ManagerEnd>
  /** Asks for a run of everything, as a restart does. */
  reconcileAll(): void
  stop(): Promise<void>
}

const CONTROLLER = 'iot.hublet.dev/operator'
/** Counts in the status of a hub may be so old. */
const COUNTS_AFTER_MS = 2_000
/** How long the operator's own Redis Secret is believed to be as it was. */
const DEFAULT_REDIS_KEPT_MS = 30_000

export function startOperator(options: OperatorOptions): RunningOperator {
  const { logger, registry, clock = systemClock, timeoutMs = 30_000 } = options
  const random = Math.random
  const health = new Health()
  const onDone = createClientMetrics(registry)
  const reader = createApiClient({
    kubeConfig: options.access,
    timeoutMs,
    onDone,
    userAgent: 'hublet-operator',
  })
  const election = createElection(options, { client: reader, clock, random, logger })
  const client = guardWrites(reader, election)
  const metrics = createInformerMetrics(registry)
  const { scope, times } = options
  const world = createWorld({
    client,
    clock,
    random,
    logger,
    metrics,
    scope,
    ...(times === undefined ? {} : { times }),
  })
  const events = new EventRecorder({
    client,
    clock,
    logger,
    controller: CONTROLLER,
    instance: options.identity,
  })
  const publisher = new RedisPublisher({
    random,
    mayWrite: () => election.mayWrite(),
    onReady: (uids) => {
      const ready = new Set(uids)
      for (const hub of world.hubs.list()) if (ready.has(hub.metadata.uid ?? '')) wake.hubState(keyOf(hub))
    },
    onAsk: (uid) => {
      for (const hub of world.hubs.list()) if (hub.metadata.uid === uid) asks.enqueue(keyOf(hub))
    },
    onFault: (address, fault) => logger.warn({ redis: address, fault }, 'Redis cannot be reached'),
  })
  const tools: Tools = {
    client,
    world,
    gate: new NamespaceGate(client, world, clock),
    secrets: new SecretReader(client, world),
    clock,
    randomBytes,
    events,
    publisher,
    published: new PublishedHubs(),
    computed: new ComputedStatuses(),
    held: new HeldCertificates(),
    records: new RecordMemo(),
    activities: new Activities(),
    enrolments: new Enrolments(),
    tokenIssuer: new TokenIssuerReader(client, clock),
    openAsks: new Set(),
    routeReports: new RouteReportsSeen(),
    wakeDevice: (device) => wake.device(device),
    wakeState: (hub) => wake.hubState(hub),
    settings: options.settings,
    ...defaultRedis(options, client, clock),
  }
  const { wake, controllers, asks } = createControllers(tools, options)
  connectTriggers(world, wake)
  const stop = new AbortController()
  const ended = runManager(
    {
      informers: world.all,
      controllers,
      election,
      health,
      clock,
      logger,
      beforeRelease: async () => {
        await publisher.stop()
        await events.flush()
      },
    },
    stop.signal,
  ).finally(async () => {
    await events.stop()
    reader.close()
  })
  return {
    health,
    ended,
    reconcileAll() {
      for (const hub of world.hubs.list()) {
        wake.hub(keyOf(hub))
        wake.hubState(keyOf(hub))
      }
      for (const device of world.devices.list()) wake.device(keyOf(device))
      for (const network of world.networks.list()) wake.network(keyOf(network))
      for (const route of world.routes.list()) wake.route(keyOf(route))
    },
    async stop() {
      stop.abort()
      await ended
    },
  }
}

/** `member` is `memberKey` of an object in the namespace of the hub. */
function wakeMember(wake: Wakers, hub: string, member: string): void {
  const [kind, name = ''] = member.split('/')
  const key = objectKey(splitKey(hub).namespace, name)
  if (kind === 'Device') wake.device(key)
  else if (kind === 'Network') wake.network(key)
  else wake.route(key)
}

interface ElectionParts {
  client: ReturnType<typeof createApiClient>
  clock: Clock
  random: () => number
  logger: Logger
}

function createElection(
  { namespace, leaseName, identity, registry, lease }: OperatorOptions,
  parts: ElectionParts,
): LeaderElection {
  const times =
    lease === undefined
      ? {}
      : {
          leaseDurationMs: lease.durationMs,
          renewDeadlineMs: lease.renewDeadlineMs,
          retryMs: lease.retryMs,
        }
  const metrics = createLeaderMetrics(registry)
  return new LeaderElection({ ...parts, ...times, namespace, name: leaseName, identity, metrics })
}

function createControllers(
  tools: Tools,
  options: OperatorOptions,
): { wake: Wakers; controllers: Controller[]; asks: Controller } {
  const { logger, registry, concurrency, timeoutMs, backoff, clock = systemClock } = options
  const metrics = createControllerMetrics(registry)
  const queueMetrics = createQueueMetrics(registry)
  const controller = (name: string, reconcile: Reconcile, size: number) =>
    new Controller({
      name,
      reconcile,
      concurrency: size,
      logger,
      clock,
      random: Math.random,
      metrics,
      queueMetrics,
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      ...(backoff === undefined ? {} : { backoff }),
    })
  const hubs = controller('hub', hubReconcile(tools), concurrency.hub)
  const devices = controller('device', deviceReconcile(tools), concurrency.device)
  const networks = controller('network', networkReconcile(tools), concurrency.member)
  const routes = controller('route', routeReconcile(tools), concurrency.member)
  const wake: Wakers = {
    hub: (key, wakeOptions) => hubs.enqueue(key, wakeOptions),
    hubState: (key) => pacer.request(key),
    device: (key, wakeOptions) => devices.enqueue(key, wakeOptions),
    network: (key, wakeOptions) => networks.enqueue(key, wakeOptions),
    route: (key, wakeOptions) => routes.enqueue(key, wakeOptions),
  }
  const asks = controller('asks', asksReconcile(tools), concurrency.hub)
  const activityWakers = { hub: wake.hub, device: wake.device }
  const activity = hubActivityReconcile(tools, activityWakers, options.activityEveryMs)
  const activities = controller('activity', activity, 1)
  const routeActivity = routeActivityReconcile(tools, wake.route, options.activityEveryMs)
  const routeActivities = controller('routeactivity', routeActivity, 1)
  const states: Controller = controller(
    'hubstate',
    hubStateReconcile(tools, {
      hub: (key) => {
        for (const one of [hubs, activities, routeActivities, asks]) one.enqueue(key)
      },
      hubLater: (key) => hubs.enqueueAfter(key, COUNTS_AFTER_MS),
      members: (key, members) => {
        if (tools.openAsks.has(key)) asks.enqueue(key)
        for (const member of members) wakeMember(wake, key, member)
      },
      allMembers: (key) => wakeMembers(tools.world, wake, key),
      took: (key, ms) => pacer.took(key, ms),
    }),
    concurrency.hub,
  )
  const pacer = new HubStatePacer(states, clock)
  const reporting = [activities, routeActivities]
  return { controllers: [hubs, states, asks, devices, networks, routes, ...reporting], wake, asks }
}

/** Read by name, so that a right on this one Secret is enough. */
function defaultRedis(
  { namespace, defaultRedisSecret }: OperatorOptions,
  client: Tools['client'],
  clock: Clock,
): Pick<Tools, 'defaultRedisSecret' | 'readDefaultRedis'> {
  if (defaultRedisSecret === undefined) return { readDefaultRedis: async () => undefined }
  const key = objectKey(namespace, defaultRedisSecret)
  let known: { secret: Secret; at: number } | undefined
  return {
    defaultRedisSecret: key,
    async readDefaultRedis(signal) {
      if (known && clock.monotonic() - known.at < DEFAULT_REDIS_KEPT_MS) return known.secret
      try {
        const { body } = await client.request<Secret>({
          method: 'GET',
          path: objectPath(SECRETS, key),
          signal,
        })
        known = { secret: body, at: clock.monotonic() }
        return body
      } catch (error) {
        if (isNotFound(error)) return undefined
        throw error
      }
    },
  }
}
