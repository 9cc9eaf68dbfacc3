/** `POST /networks/<name>`: the door of token networks (spec §3). */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type EventCode, eventMessage } from '../../contract/hub-event.ts'
import type { NetworkRecord } from '../../contract/hub-state.ts'
import { judgeNetworkRequest, type NetworkMessage } from '../policy/network-request.ts'
import { type TokenBucket, takeTokens, tokenBucket } from '../policy/rate.ts'
import type { Denied } from '../policy/verdict.ts'
import type { ListenerHost } from './listener-host.ts'
import { opensNetwork, WrongSecrets } from './network-secret.ts'
import { type Problem, sendProblem } from './problem.ts'
import { type Body, BodyBudget, discardBody, readBody } from './request-body.ts'

const PATH = /^\/networks\/([^/]+)$/
/** Bodies in memory at once, over all requests; at least four of the largest fit. */
const BODY_BUDGET_BYTES = 64 * 1024 * 1024
const SMALL_BODY_BYTES = 64 * 1024
/** Networks whose rate is tracked. A hub has 100 at most; names that come and go must not add up. */
const TRACKED_NETWORKS = 1_000

/** One request on its way through the checks. */
interface Exchange {
  request: IncomingMessage
  response: ServerResponse
  /** `ip:port` of the client. */
  remoteAddress: string
  /** The client waits for "100 Continue" before it sends the body. */
  awaitsContinue: boolean
}

export class NetworkEndpoint {
  readonly #host: ListenerHost
  readonly #now: () => number
  readonly #wrongSecrets = new WrongSecrets()
  readonly #rates = new Map<string, TokenBucket>()
  readonly #budget: BodyBudget

  /** `now`: a monotone clock in ms. */
  constructor(host: ListenerHost, now: () => number) {
    this.#host = host
    this.#now = now
    this.#budget = new BodyBudget(() => Math.max(BODY_BUDGET_BYTES, 4 * host.hub().limits.payloadBytes))
  }

  /** Answers the request, whatever it is; never rejects. */
  async handle(exchange: Exchange): Promise<void> {
    const { request, response } = exchange
    try {
      const problem = await this.#answer(exchange)
      if (problem === undefined) {
        if (!response.destroyed) response.writeHead(204).end()
        return
      }
      if (KEPT_OPEN.has(problem.status)) await readAway(exchange)
      await sendProblem(request, response, problem)
    } catch (error) {
      this.#host.logger.error({ err: error }, 'a network request failed')
      const detail = 'the hub could not handle the request'
      await sendProblem(request, response, { status: 500, code: 'INTERNAL', detail })
    }
  }

  async #answer(exchange: Exchange): Promise<Problem | undefined> {
    const { request } = exchange
    const [, name] = PATH.exec((request.url ?? '').split('?', 1)[0] ?? '') ?? []
    if (name === undefined) {
      return { status: 404, code: 'NOT_FOUND', detail: 'expected path /networks/<name>' }
    }
    if (request.method !== 'POST') {
      const detail = `expected method POST, got ${request.method}`
      return { status: 405, code: 'METHOD_NOT_ALLOWED', detail, headers: { Allow: 'POST' } }
    }
    const network = this.#host.networkByName(name)
    const [secret, another] = request.headersDistinct['x-secret'] ?? []
    if (!opensNetwork(network, another === undefined ? (secret ?? '') : '') || network === undefined) {
      return this.#refuseSecret(exchange, network, secret === undefined)
    }
    return await this.#enter(exchange, network)
  }

  /** From here on the client is trusted with the reasons. */
  async #enter(exchange: Exchange, network: NetworkRecord): Promise<Problem | undefined> {
    const waitMs = this.#takeRate(network)
    if (waitMs > 0) {
      const detail = `network ${network.name}`
      this.#raise('RATE_LIMITED', exchange, network, detail)
      return { ...tooMany(waitMs), detail: 'the network sends more messages a second than the hub allows' }
    }
    const { headersDistinct } = exchange.request
    const verdict = judgeNetworkRequest(
      {
        topic: headersDistinct['x-topic'] ?? [],
        qos: headersDistinct['x-qos'] ?? [],
        retain: headersDistinct['x-retain'] ?? [],
      },
      network,
      this.#host.hub(),
    )
    if (!verdict.allowed) {
      this.#raise(verdict.code, exchange, network, verdict.detail)
      return problemOf(verdict)
    }
    const body = await this.#readBody(exchange, network)
    return Buffer.isBuffer(body) ? await this.#publish(network, verdict.value, body) : body
  }

  /** The same answer for a wrong secret and an unknown name: which names exist is nobody's business. */
  #refuseSecret(exchange: Exchange, network: NetworkRecord | undefined, missing: boolean): Problem {
    const waitMs = this.#wrongSecrets.count(exchange.remoteAddress, this.#now())
    if (waitMs > 0) {
      exchange.response.shouldKeepAlive = false
      return { ...tooMany(waitMs), detail: 'too many wrong secrets from this address' }
    }
    this.#raise('BAD_NETWORK_TOKEN', exchange, network)
    const got = missing ? 'none' : 'another'
    return {
      status: 401,
      code: 'BAD_NETWORK_TOKEN',
      detail: `X-Secret: expected the token of an existing network, got ${got}`,
      headers: { 'WWW-Authenticate': 'X-Secret' },
    }
  }

  #takeRate({ id }: NetworkRecord): number {
    const { messagesPerSecond } = this.#host.hub().limits
    const now = this.#now()
    let bucket = this.#rates.get(id)
    if (bucket?.perSecond !== messagesPerSecond) {
      bucket = tokenBucket(messagesPerSecond, now)
      if (this.#rates.size >= TRACKED_NETWORKS) this.#rates.clear()
      this.#rates.set(id, bucket)
    }
    return takeTokens(bucket, now)
  }

  async #readBody(exchange: Exchange, network: NetworkRecord): Promise<Buffer | Problem | undefined> {
    const { request, response, awaitsContinue } = exchange
    const limit = this.#host.hub().limits.payloadBytes
    const declared = Number(request.headers['content-length'] ?? 0)
    if (declared > limit) return this.#tooLarge(exchange, network, `${declared} bytes`)
    if (awaitsContinue) response.writeContinue()
    const body: Body = await readBody(request, limit, this.#budget)
    if (body === 'TooLarge') return this.#tooLarge(exchange, network, 'more')
    if (body === 'Busy') return { ...BUSY, headers: { 'Retry-After': '1' } }
    // Nobody is left to answer.
    if (body === 'Gone') response.destroy()
    return body === 'Gone' ? undefined : body
  }

  #tooLarge(exchange: Exchange, network: NetworkRecord, got: string): Problem {
    const limit = this.#host.hub().limits.payloadBytes
    this.#raise('PAYLOAD_TOO_LARGE', exchange, network, `${got}, at most ${limit}`)
    return {
      status: 413,
      code: 'PAYLOAD_TOO_LARGE',
      detail: `body: expected at most ${limit} bytes, got ${got}`,
    }
  }

  async #publish(
    network: NetworkRecord,
    message: NetworkMessage,
    payload: Buffer,
  ): Promise<Problem | undefined> {
    try {
      const verdict = await this.#host.publish({ network, ...message, payload })
      return verdict.allowed ? undefined : problemOf(verdict)
    } catch (error) {
      this.#host.logger.error({ err: error, network: network.id }, 'a network message could not be stored')
      return {
        status: 503,
        code: 'STORE_FAILED',
        detail: 'the message could not be stored',
        headers: { 'Retry-After': '1' },
      }
    }
  }

  #raise(code: EventCode, exchange: Exchange, network: NetworkRecord | undefined, detail?: string): void {
    this.#host.raise({
      code,
      objectType: network === undefined ? 'hub' : 'network',
      objectId: network?.id ?? this.#host.hub().uid,
      ...(detail === undefined ? {} : { detail }),
      extra: {
        ...(network === undefined ? {} : { 'object-name': network.name }),
        'source-address': exchange.remoteAddress,
      },
    })
  }
}

/** Not for wrong secrets: a connection for each guess slows guessing down. */
const KEPT_OPEN: ReadonlySet<number> = new Set([400, 404, 405, 429])

/** A small body is cheaper to read than a new connection, which an unread one would cost the client. */
async function readAway({ request, awaitsContinue }: Exchange): Promise<void> {
  const declared = Number(request.headers['content-length'] ?? 0)
  if (!awaitsContinue && declared <= SMALL_BODY_BYTES) await discardBody(request)
}

const BUSY: Problem = { status: 503, code: 'BUSY', detail: 'too many requests are being read' }

function tooMany(waitMs: number): Omit<Problem, 'detail'> {
  const seconds = Math.max(1, Math.ceil(waitMs / 1000))
  return { status: 429, code: 'RATE_LIMITED', headers: { 'Retry-After': String(seconds) } }
}

/** A refusal by policy as HTTP tells it; those of the hub's service level are the request's fault. */
function problemOf({ code, detail = '' }: Denied): Problem {
  if (code === 'RATE_LIMITED') return { ...tooMany(1_000), detail }
  if (code === 'PAYLOAD_TOO_LARGE') return { status: 413, code, detail }
  if (code.startsWith('HUB_')) {
    const headers = { 'Retry-After': '10' }
    return { status: 503, code, detail: detail || 'the hub takes no messages now', headers }
  }
  return { status: 400, code, detail: detail || eventMessage({ code }) }
}
