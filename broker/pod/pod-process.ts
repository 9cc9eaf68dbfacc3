import { join } from 'node:path'
import type { Logger } from 'pino'
import { DIGEST_EVERY_MS } from '../../contract/activity-digest.ts'
import { POD_DOOR } from '../../contract/broker-pod.ts'
import type { ServerCredentials } from '../../contract/hub-state.ts'
import type { ProvisioningAnswer, ProvisioningRequest } from '../../contract/provisioning.ts'
import { redisFault } from '../../contract/redis-access.ts'
import { type Broker, createBroker, type ListenerAddress } from '../create-broker.ts'
import type { ListenerName } from '../policy/link.ts'
import { closeRedis, openRedis } from '../redis/open-redis.ts'
import { RedisStateSource } from '../state/redis-state-source.ts'
import { RedisStore } from '../store/redis-store.ts'
import { ActivityReport } from './activity-report.ts'
import { ENCRYPTED, type PodConfig } from './config.ts'
import { type LocalDoor, openLocalDoor } from './local-door.ts'
import { readRedisSettings, readServerCredentials, watchFiles } from './mounted-files.ts'
import { OperatorDoor } from './operator-door.ts'
import { PodMetrics } from './pod-metrics.ts'
import { type StatusServers, startStatusServers } from './status-servers.ts'

export interface PodOptions {
  config: PodConfig
  logger: Logger
  /** Another broker has taken the store over; this one serves nobody any more. */
  onFenced(): void
}

/** A broker may wait so long for Redis and the operator: being restarted would bring neither. */
const START_TIMEOUT_MS = 24 * 3_600_000
const WATCH_MS = 5_000
const REPORT_TIMEOUT_MS = 5_000
/** How long a new device waits for the operator at CONNECT; then it is told to come again. */
const PROVISIONING_WAIT_MS = 5_000
/** How long a device waits for a certificate. */
const ENROLMENT_WAIT_MS = 20_000

/** The broker of a pod with all that is around it, from start to stop. */
export class PodProcess {
  readonly #options: PodOptions
  readonly #metrics: PodMetrics
  readonly #source: RedisStateSource
  readonly #store: RedisStore
  readonly #operator: OperatorDoor
  #servers: StatusServers | undefined
  #broker: Broker | undefined
  #door: LocalDoor | undefined
  #reporting: NodeJS.Timeout | undefined
  #phase: 'starting' | 'serving' | 'draining' | 'fenced' = 'starting'
  /** Not to write the same line with every attempt. */
  #lastFault: string | undefined

  constructor(options: PodOptions) {
    this.#options = options
    const { config, logger } = options
    const settings = () => readRedisSettings(config.folders.redis)
    this.#source = new RedisStateSource({
      hubUid: config.hubUid,
      settings,
      startTimeoutMs: START_TIMEOUT_MS,
      graceMs: config.redisGraceSeconds * 1000,
      onHealth: (healthy, reason) => {
        if (healthy) logger.info('the state of the hub is in touch')
        else logger.warn({ reason: reason?.message }, 'the state of the hub is out of touch')
      },
      onFault: ({ message }) => this.#onFault(message),
      onGraceOver: () => this.#onGraceOver(),
    })
    this.#store = new RedisStore({
      hubUid: config.hubUid,
      settings,
      openTimeoutMs: START_TIMEOUT_MS,
      replicas: config.durability === 'Replicated' ? 1 : 0,
      beforeResume: () => this.#source.untilHealthy(),
      onHealth: (healthy, fault) => {
        if (healthy) logger.info('the store is in touch')
        else logger.warn({ fault }, 'the store is out of touch')
      },
      onDanger: (dangers) => {
        if (config.durability !== 'Relaxed')
          logger.warn({ dangers, durability: config.durability }, 'this Redis may lose what was acknowledged')
      },
      onLazyError: (error) => logger.warn({ err: error }, 'the store could not write'),
      onFenced: () => this.#onFenced(),
    })
    this.#operator = new OperatorDoor({
      hubUid: config.hubUid,
      settings,
      random: Math.random,
      onFault: (fault) => logger.debug({ fault }, 'the operator cannot be asked'),
    })
    this.#metrics = new PodMetrics({
      state: () => this.#source.healthy(),
      store: () => this.#store.healthy(),
    })
  }

  /** Ports of the listeners, once it serves. */
  get ports(): Broker['ports'] {
    return this.#broker?.ports ?? {}
  }

  get statusPorts(): StatusServers['ports'] | undefined {
    return this.#servers?.ports
  }

  /** Resolves when clients can come. Rejects, with nothing left open, on what waiting does not cure. */
  async start(): Promise<void> {
    const { config, logger } = this.#options
    this.#servers = await startStatusServers(config, {
      metrics: async () => `${(await this.#broker?.metrics()) ?? ''}${await this.#metrics.text()}`,
      unready: () => this.#unready(),
    })
    try {
      // Says at once what is wrong with them, which the attempts to connect would not.
      readRedisSettings(config.folders.redis)
      const credentials = this.#credentials()
      this.#broker = await createBroker({
        state: this.#source,
        store: this.#store,
        listeners: addresses(config),
        ...(credentials === undefined ? {} : { credentials }),
        logger,
        provision: (request) => this.#provision(request),
        enrol: async (request) =>
          (await this.#operator.ask({ kind: 'Enrol', request }, ENROLMENT_WAIT_MS))?.enrolment,
      })
      if (credentials !== undefined) this.#followCredentials(this.#broker, credentials)
      this.#door = await openLocalDoor(join(config.folders.tmp, POD_DOOR), this.#broker)
      if (this.#phase === 'starting') this.#phase = 'serving'
      this.#reportActivity(this.#broker)
    } catch (error) {
      await this.#servers.stop()
      throw error
    }
    logger.info({ ports: this.ports, status: this.statusPorts }, 'the hub is open')
  }

  /** From now on the pod asks for no new clients; those that come are still served. */
  drain(): void {
    if (this.#phase === 'serving') this.#phase = 'draining'
  }

  /** Closes links and listeners, and stores what is pending. */
  async stop(): Promise<void> {
    this.drain()
    clearInterval(this.#reporting)
    if (this.#broker === undefined) {
      await this.#source.stop()
      await this.#store.close()
    }
    await this.#door?.close()
    await this.#broker?.stop()
    await this.#operator.stop()
    await this.#servers?.stop()
  }

  async #provision(request: ProvisioningRequest): Promise<ProvisioningAnswer> {
    const answer = await this.#operator.ask({ kind: 'Provision', request }, PROVISIONING_WAIT_MS)
    this.#source.expectDevice()
    return answer?.provisioning ?? 'Late'
  }

  #unready(): string | undefined {
    if (this.#phase !== 'serving') return this.#phase
    if (!this.#source.healthy()) return 'the state of the hub is out of touch'
    if (!this.#store.healthy()) return 'the store is out of touch'
    return undefined
  }

  #credentials(): ServerCredentials | undefined {
    const { listeners, folders } = this.#options.config
    return listeners.some((name) => ENCRYPTED.has(name))
      ? readServerCredentials(folders.serverTls)
      : undefined
  }

  #followCredentials(broker: Broker, initial: ServerCredentials): void {
    const { config, logger } = this.#options
    watchFiles(() => readServerCredentials(config.folders.serverTls), {
      initial,
      everyMs: WATCH_MS,
      onChange: (credentials) => {
        broker.setCredentials(credentials)
        logger.info('new handshakes get the new server certificate')
      },
      onFault: (error) =>
        logger.error({ err: error }, 'the new server certificate cannot be used; the old one stays'),
    })
  }

  #reportActivity(broker: Broker): void {
    const { config, logger } = this.#options
    const settings = () => readRedisSettings(config.folders.redis)
    const report = new ActivityReport({
      hubUid: config.hubUid,
      open: () => openRedis({ settings, name: 'hublet-report', timeoutMs: REPORT_TIMEOUT_MS }),
      close: closeRedis,
      activity: () => broker.activity(),
    })
    const send = () => {
      if (this.#phase !== 'serving' || !this.#source.healthy()) return
      report.send().catch((error: unknown) => {
        logger.debug({ fault: redisFault(error) }, 'the activity of devices could not be reported')
      })
    }
    send()
    this.#reporting = setInterval(send, DIGEST_EVERY_MS)
    this.#reporting.unref()
  }

  #onFault(message: string): void {
    const { logger } = this.#options
    if (this.#lastFault === message) logger.debug({ reason: message }, 'the state of the hub cannot be read')
    else logger.warn({ reason: message }, 'the state of the hub cannot be read')
    this.#lastFault = message
  }

  #onGraceOver(): void {
    const { logger, config } = this.#options
    logger.error(
      { seconds: config.redisGraceSeconds },
      'the grace without Redis is over: every session is closed',
    )
    this.#broker?.closeLinks('HUB_BUSY', 'the state of the hub is out of reach')
  }

  #onFenced(): void {
    const { logger, onFenced } = this.#options
    this.#phase = 'fenced'
    logger.error('another broker has taken over this hub: every session is closed')
    this.#broker
      ?.stop()
      .catch((error: unknown) => logger.error({ err: error }, 'the broker could not be stopped'))
    onFenced()
  }
}

function addresses({ listeners, bind, ports }: PodConfig): Partial<Record<ListenerName, ListenerAddress>> {
  return Object.fromEntries(listeners.map((name) => [name, { host: bind, port: ports[name] }]))
}
