import type { ConnectPacket } from 'aedes'
import { compilePublishRule } from '../policy/filters.ts'
import { normalizeDeviceId } from '../policy/identity.ts'
import { takeTokens, tokenBucket } from '../policy/rate.ts'
import { judgeSession } from '../policy/service-level.ts'
import { type Denied, deny } from '../policy/verdict.ts'
import { cutProperty } from '../wire/control-packet.ts'
import type { ProtocolVersion } from '../wire/publish-frame.ts'
import { currentDigest, raiseFor } from './close-link.ts'
import { acceptingConnack, maximumPacketBytes, refusingConnack } from './connack.ts'
import type { SessionContext } from './context.ts'
import { identifyClient } from './identify-client.ts'
import { KeyedQueue } from './keyed-queue.ts'
import type { Link } from './link.ts'
import { GONE, openSession, type SessionPlan } from './open-session.ts'
import { PasswordChecks } from './password-checks.ts'
import { readWill } from './read-will.ts'

/** Design §8.5: with the state out of reach sessions stay, and new ones have to wait. */
export const OUT_OF_TOUCH = 'the state of the hub is out of reach'
const RECEIVE_MAXIMUM_DEFAULT = 65_535

interface ConnectProperties {
  sessionExpiryInterval?: number
  receiveMaximum?: number
  maximumPacketSize?: number
  authenticationMethod?: string
}

/** From a CONNECT that reads well to the CONNACK. */
export class Connector {
  readonly #context: SessionContext
  readonly #passwords = new PasswordChecks()
  readonly #byDevice = new KeyedQueue()
  readonly #connacks = new WeakMap<Link, Buffer>()
  #bucket: ReturnType<typeof tokenBucket>

  constructor(context: SessionContext) {
    this.#context = context
    this.#bucket = tokenBucket(context.hub().limits.connectsPerSecond, context.now())
  }

  /** False: refused and told. The CONNACK of an accepted one waits for `ready`. */
  async connect(link: Link, packet: ConnectPacket): Promise<boolean> {
    link.version = (packet.protocolVersion ?? 4) as ProtocolVersion
    const early = this.#outOfTouch() ?? this.#tooMany() ?? unsupported(packet)
    if (early !== undefined) return this.#refuse(link, early)
    const context = this.#context
    const verdict = await identifyClient(context, link, packet, this.#passwords)
    if (isClosed(link)) return false
    if (!verdict.allowed) return this.#refuse(link, verdict)
    const identity = verdict.value
    const deviceId = normalizeDeviceId(identity.device.id)
    const plan = this.#plan(link, packet, identity.device.filters.publish)
    if (!plan.allowed) return this.#refuse(link, { ...plan, deviceId })
    if (identity.clientId === undefined && !plan.value.clean && link.version < 5) {
      // [MQTT-3.1.3-8]: a session to keep needs a name.
      return this.#refuse(link, {
        ...deny('PROTOCOL_ERROR', 'a client id is needed to keep a session'),
        deviceId,
      })
    }
    const opened = await this.#byDevice
      .run(deviceId, () => openSession(context, link, identity, plan.value))
      .catch((error: unknown) => this.#onFault(error))
    if (opened === GONE || isClosed(link)) return false
    if (!opened.allowed) return this.#refuse(link, { ...opened, deviceId })
    this.#prepare(link, packet, { ...opened.value, expirySeconds: plan.value.expirySeconds })
    return true
  }

  /** Sends the CONNACK and lets packets flow. */
  ready(link: Link): void {
    const connack = this.#connacks.get(link)
    if (isClosed(link) || connack === undefined) return
    this.#connacks.delete(link)
    link.send(connack)
    link.phase = 'Open'
    link.place.leave()
    link.reader.maxBytes = maximumPacketBytes(this.#context.hub())
    this.#context.counters.connectionsAccepted += 1
    const device = link.device!
    device.lastActivityAt = this.#context.now()
    for (const detail of device.record.templateErrors) {
      raiseFor(this.#context, link, { code: 'FILTER_TEMPLATE', detail })
    }
    link.session!.attach(link)
    link.release()
  }

  #onFault(error: unknown): Denied {
    this.#context.counters.storeFaults += 1
    this.#context.logger.error({ err: error }, 'a session could not be opened')
    return deny('HUB_BUSY', 'the session cannot be stored')
  }

  #outOfTouch(): Denied | undefined {
    return this.#context.state.healthy?.() === false ? deny('HUB_BUSY', OUT_OF_TOUCH) : undefined
  }

  #tooMany(): Denied | undefined {
    const { connectsPerSecond } = this.#context.hub().limits
    const now = this.#context.now()
    if (this.#bucket.perSecond !== connectsPerSecond) this.#bucket = tokenBucket(connectsPerSecond, now)
    return takeTokens(this.#bucket, now) === 0
      ? undefined
      : deny('HUB_BUSY', `${connectsPerSecond} connections a second`)
  }

  #plan(link: Link, packet: ConnectPacket, rule: Parameters<typeof compilePublishRule>[0]) {
    const hub = this.#context.hub()
    const clean = packet.clean ?? true
    const asked = propertiesOf(packet).sessionExpiryInterval
    const expiry = judgeSession(hub, { version: link.version, clean, sessionExpirySeconds: asked })
    if (!expiry.allowed) return expiry
    const filter = compilePublishRule(rule, hub.events.topicPrefix)
    const will = readWill(packet, hub, (topic) => filter.allowsPublish(topic))
    if (!will.allowed) return will
    const value: SessionPlan = { clean, expirySeconds: expiry.value, will: will.value }
    return { allowed: true as const, value }
  }

  #prepare(
    link: Link,
    packet: ConnectPacket,
    opened: { present: boolean; assignedClientId: string | undefined; expirySeconds: number },
  ): void {
    const hub = this.#context.hub()
    const { receiveMaximum, maximumPacketSize, sessionExpiryInterval = 0 } = propertiesOf(packet)
    link.window = Math.min(hub.limits.inflight, receiveMaximum ?? RECEIVE_MAXIMUM_DEFAULT)
    link.maximumPacketBytes = maximumPacketSize ?? Number.POSITIVE_INFINITY
    // [MQTT-3.1.2-22]: one and a half times the interval.
    link.silenceAllowedMs = (packet.keepalive ?? 0) * 1500
    const { present, assignedClientId, expirySeconds } = opened
    const connack = acceptingConnack(
      {
        version: link.version,
        sessionPresent: present,
        assignedClientId,
        sessionExpirySeconds: expirySeconds === sessionExpiryInterval ? undefined : expirySeconds,
      },
      hub,
    )
    this.#connacks.set(link, connack)
  }

  #refuse(link: Link, denied: Denied & { deviceId?: string }): false {
    const { code, detail, deviceId } = denied
    this.#context.counters.connectionsRefused += 1
    raiseFor(this.#context, link, { code, detail, packet: currentDigest(link) }, deviceId)
    link.close(refusingConnack(code, link.version))
    return false
  }
}

/** What MQTT 5 offers and this broker does not, or a client must not ask for. */
function unsupported(packet: ConnectPacket): Denied | undefined {
  if (packet.protocolVersion !== 5) return undefined
  const { will } = packet as { will?: { properties?: Record<string, unknown> } }
  const cut = cutProperty({ ...propertiesOf(packet) }) ?? cutProperty(will?.properties)
  if (cut !== undefined) return deny('PACKET_MALFORMED', `property ${cut} is cut short`)
  const { authenticationMethod, receiveMaximum, maximumPacketSize } = propertiesOf(packet)
  if (authenticationMethod !== undefined) return deny('PROTOCOL_ERROR', 'enhanced authentication')
  if (receiveMaximum === 0) return deny('PROTOCOL_ERROR', 'receive maximum 0')
  if (maximumPacketSize === 0) return deny('PROTOCOL_ERROR', 'maximum packet size 0')
  return undefined
}

const propertiesOf = (packet: ConnectPacket): ConnectProperties =>
  (packet as { properties?: ConnectProperties }).properties ?? {}

/** A call, because the phase changes while something is awaited. */
const isClosed = (link: Link): boolean => link.phase === 'Closed'
