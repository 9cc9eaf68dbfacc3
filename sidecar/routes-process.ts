import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { collectDefaultMetrics, Registry } from 'prom-client'
import { readRedisSettings, type Watch, watchFiles } from '../broker/pod/mounted-files.ts'
import { type StatusServers, startStatusServers } from '../broker/pod/status-servers.ts'
import { RedisStateSource } from '../broker/state/redis-state-source.ts'
import { RedisRouteStream } from '../broker/store/redis-route-stream.ts'
import { redisFault } from '../contract/redis-access.ts'
import { routeReportKey, routesPrefix } from '../contract/redis-keys.ts'
import type { RouteCredentials } from '../contract/route-credentials.ts'
import { CONTROL_FILE } from '../routes/control/control-client.ts'
import { type ControlServer, startControl } from '../routes/control/control-server.ts'
import { RouteEvents } from '../routes/route-events.ts'
import { addRouteMetrics } from '../routes/route-metrics.ts'
import { createRouteWorker, type RouteWorker } from '../routes/worker.ts'
import { brokerDoor } from './broker-door.ts'
import type { SidecarConfig } from './config.ts'
import { readCredentialsFolder } from './credentials-folder.ts'
import { Lease } from './lease.ts'
import { RedisDuty } from './redis-duty.ts'
import { RouteReports } from './route-reports.ts'
import { systemClock } from './system-clock.ts'

/** It may wait so long for Redis and the operator: being restarted would bring neither. */
const START_TIMEOUT_MS = 24 * 3_600_000
/** How soon a new secret value is in force once it is mounted. */
const WATCH_MS = 2_000
/** Deliveries under way have so long to end; less than the pod has. */
const DRAIN_MS = 20_000
const ALL_PARTITIONS = Array.from({ length: 16 }, (_, partition) => partition)

/** The route worker of a pod with all that is around it, from start to stop. */
export class RoutesProcess {
  readonly #config: SidecarConfig
  readonly #logger: Logger
  readonly #source: RedisStateSource
  readonly #stream: RedisRouteStream
  readonly #lease: Lease
  readonly #reports: RouteReports
  readonly #duty: RedisDuty
  readonly #events = new RouteEvents()
  readonly #registry = new Registry()
  #credentials: Record<string, RouteCredentials> = {}
  #watch: Watch | undefined
  #worker: RouteWorker | undefined
  #servers: StatusServers | undefined
  #control: ControlServer | undefined
  #isDelivering = false

  constructor(config: SidecarConfig, logger: Logger) {
    this.#config = config
    this.#logger = logger
    const { hubUid, folders } = config
    const settings = () => readRedisSettings(folders.redis)
    this.#source = new RedisStateSource({
      hubUid,
      settings,
      startTimeoutMs: START_TIMEOUT_MS,
      cachedDevices: 1,
      onFault: ({ message }) => logger.debug({ reason: message }, 'the state of the hub cannot be read'),
      onHealth: (healthy, reason) => {
        if (healthy) logger.info('the state of the hub is in touch')
        else logger.warn({ reason: reason?.message }, 'the state of the hub is out of touch')
      },
    })
    this.#lease = new Lease({
      key: `${routesPrefix(hubUid)}owner`,
      pod: config.podName,
      bootId: randomUUID(),
      now: () => systemClock.monotonic(),
      onLapse: () => this.#setDelivering(false),
    })
    this.#stream = new RedisRouteStream({ hubUid, settings, fence: this.#lease.token })
    this.#reports = new RouteReports(routeReportKey(hubUid))
    this.#duty = new RedisDuty({
      settings,
      duty: (redis) => this.#doDuty(redis),
      onFault: (error) => logger.debug({ fault: redisFault(error) }, 'Redis is out of reach'),
    })
    collectDefaultMetrics({ register: this.#registry })
    if (config.hubName !== '')
      this.#registry.setDefaultLabels({ namespace: config.hubNamespace, hub: config.hubName })
  }

  get statusPorts(): StatusServers['ports'] | undefined {
    return this.#servers?.ports
  }

  /** Resolves when routes are worked on, or another worker works on them. Rejects on what waiting does not cure. */
  async start(): Promise<void> {
    const { folders } = this.#config
    this.#servers = await startStatusServers(this.#config, {
      metrics: () => this.#registry.metrics(),
      unready: () => (this.#worker === undefined ? 'starting' : undefined),
    })
    readRedisSettings(folders.redis)
    this.#credentials = readCredentialsFolder(folders.routes)
    await this.#source.start(() => this.#refresh())
    const worker = this.#makeWorker()
    this.#worker = worker
    addRouteMetrics(
      this.#registry,
      () => (this.#lease.isHeld ? worker.snapshots() : []),
      (routeId) => this.#source.routes().find(({ id }) => id === routeId)?.name,
    )
    this.#watch = watchFiles(() => readCredentialsFolder(folders.routes), {
      initial: this.#credentials,
      everyMs: WATCH_MS,
      onChange: (credentials) => {
        this.#credentials = credentials
        this.#refresh()
        this.#logger.info('new secret values of routes are in force')
      },
      onFault: (error) => this.#logger.error({ err: error }, 'the secret values of routes cannot be read'),
    })
    this.#control = await startControl(join(folders.tmp, CONTROL_FILE), () => [
      {
        key: this.#config.hubName,
        records: () => this.#source.routes(),
        reports: () => (this.#lease.isHeld ? worker.snapshots() : []),
        stream: this.#stream,
      },
    ])
    this.#duty.start()
    this.#logger.info({ status: this.statusPorts }, 'the route worker is open')
  }

  /** Ends deliveries, tells how routes are for the last time, and leaves them to the next worker. */
  async stop(): Promise<void> {
    this.#watch?.stop()
    await this.#control?.close()
    await this.#worker?.stop(DRAIN_MS)
    await this.#duty.stop(async (redis) => {
      if (this.#lease.isHeld) await this.#reports.send(redis, this.#worker?.snapshots() ?? [])
      await this.#lease.release(redis)
    })
    await Promise.all([this.#stream.close(), this.#source.stop(), this.#servers?.stop()])
  }

  #makeWorker(): RouteWorker {
    const { allowPrivate, allowLoopback, denied, door } = this.#config
    const broker = brokerDoor(door)
    return createRouteWorker({
      stream: this.#stream,
      records: () => this.#source.routes(),
      credentials: (routeId) => this.#credentials[routeId],
      partitions: () => (this.#isDelivering ? ALL_PARTITIONS : []),
      // Asked before each delivery: a process that was stopped wakes up in the middle of things.
      mayDeliver: () => this.#lease.isHeld,
      async publishReply(_, { topic, payload, qos, retain, contentType, trail }) {
        // What the hub refuses it has told as an event: the message itself has been delivered.
        await broker.publish({
          ...{ topic, qos, retain, trail: [...trail] },
          payloadBase64: payload.toString('base64'),
          ...(contentType === undefined ? {} : { contentType }),
        })
      },
      onStatus: (report) => {
        if (!this.#lease.isHeld) return
        for (const { code, objectId, detail } of this.#events.of(report))
          void broker.tell({ code, routeId: objectId, ...(detail === undefined ? {} : { detail }) })
      },
      onFault: (routeId, error) => this.#logger.debug({ route: routeId, err: error }, 'a fault of a route'),
      network: { allowLoopback, allowPrivate, denied },
      clock: systemClock,
      random: Math.random,
    })
  }

  #refresh(): void {
    this.#worker?.refresh()
    this.#events.keep(new Set(this.#source.routes().map(({ id }) => id)))
  }

  #setDelivering(isDelivering: boolean): void {
    if (isDelivering === this.#isDelivering) return
    this.#isDelivering = isDelivering
    this.#reports.forget()
    this.#logger.info(isDelivering ? 'this worker delivers' : 'this worker does not deliver')
    this.#refresh()
  }

  async #doDuty(redis: Redis): Promise<void> {
    this.#setDelivering(await this.#lease.renew(redis))
    if (!this.#isDelivering) return
    await this.#reports.send(redis, this.#worker?.snapshots() ?? [])
    // What waits for a route that is gone is gone with it.
    await this.#stream.removeGone(new Set(this.#source.routes().map(({ id }) => id)))
  }
}
