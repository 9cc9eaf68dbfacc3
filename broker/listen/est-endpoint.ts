/** `/.well-known/est/`: certificates for devices that made their keys themselves (EST, RFC 7030). */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { EnrolmentAnswer, EnrolmentRequest } from '../../contract/asks.ts'
import type { EventCode } from '../../contract/hub-event.ts'
import type { DeviceRecord } from '../../contract/hub-state.ts'
import type { LinkFacts } from '../policy/link.ts'
import { certsOnly } from './certs-only.ts'
import type { EnrolmentHost, ListenerHost } from './listener-host.ts'
import { WrongSecrets } from './network-secret.ts'
import { type Problem, sendProblem } from './problem.ts'
import { type Body, BodyBudget, readBody } from './request-body.ts'

export const EST_PATH = '/.well-known/est/'
const OPERATIONS = { cacerts: 'GET', simpleenroll: 'POST', simplereenroll: 'POST' } as const
type Operation = keyof typeof OPERATIONS

/** A PKCS #10 request of an RSA-4096 key has 3 KB in base64. */
const MAX_BODY_BYTES = 12 * 1024
const BODY_BUDGET_BYTES = 1024 * 1024
/** Requests that wait for the operator. */
const MAX_WAITING = 100
const NAME_MAX_LENGTH = 64

interface Exchange {
  request: IncomingMessage
  response: ServerResponse
  facts: LinkFacts
  awaitsContinue: boolean
}

/** Who asks, and how that was shown. */
interface Applicant {
  device: DeviceRecord
  shown: Pick<EnrolmentRequest, 'tokenSha256' | 'fingerprint'>
}

export class EstEndpoint {
  readonly #host: ListenerHost
  /** ms, monotone and since the epoch. */
  readonly #clock: { monotonic: () => number; now: () => number }
  readonly #wrongTokens = new WrongSecrets()
  readonly #budget = new BodyBudget(() => BODY_BUDGET_BYTES)
  #waiting = 0

  constructor(host: ListenerHost, clock: { monotonic: () => number; now: () => number }) {
    this.#host = host
    this.#clock = clock
  }

  /** Answers the request, whatever it is; never rejects. */
  async handle(exchange: Exchange): Promise<void> {
    const { request, response } = exchange
    try {
      const answer = await this.#answer(exchange)
      if ('status' in answer) await sendProblem(request, response, answer)
      else await sendCertificates(response, answer)
    } catch (error) {
      this.#host.logger.error({ err: error }, 'an enrolment request failed')
      await sendProblem(request, response, problem(500, 'INTERNAL', 'the hub could not handle the request'))
    }
  }

  async #answer(exchange: Exchange): Promise<Problem | Certificates> {
    const { request, facts } = exchange
    const { enrolment } = this.#host
    const operation = operationOf(request)
    if (operation === undefined || enrolment === undefined)
      return problem(404, 'NOT_FOUND', `expected ${EST_PATH}cacerts, simpleenroll or simplereenroll`)
    if (!facts.encrypted) return problem(403, 'HTTPS_REQUIRED', 'expected https')
    const method = OPERATIONS[operation]
    if (request.method !== method) {
      const wrong = problem(405, 'METHOD_NOT_ALLOWED', `expected method ${method}, got ${request.method}`)
      return { ...wrong, headers: { Allow: method } }
    }
    if (operation === 'cacerts')
      return { type: 'application/pkcs7-mime', certificates: this.#host.hub().deviceTrust.caCertificates }
    const applicant = await (operation === 'simpleenroll'
      ? this.#byToken(exchange, enrolment)
      : this.#byCertificate(exchange, enrolment))
    if ('status' in applicant) return applicant
    return await this.#enrol(exchange, applicant, enrolment)
  }

  async #byCertificate({ facts }: Exchange, enrolment: EnrolmentHost): Promise<Applicant | Problem> {
    const verdict = await enrolment.identify(facts)
    const fingerprint = facts.peerCertificate?.fingerprint
    if (verdict.allowed && fingerprint !== undefined) return { device: verdict.value, shown: { fingerprint } }
    const code: EventCode = verdict.allowed ? 'MTLS_REQUIRED' : verdict.code
    this.#raise(code, facts)
    return problem(403, code, 'expected a client certificate of the device that is valid now')
  }

  /** RFC 7030 §3.2.3: user name and password, which here are the device's name and its token. */
  async #byToken(exchange: Exchange, enrolment: EnrolmentHost): Promise<Applicant | Problem> {
    const { request, facts } = exchange
    const given = basicCredentials(request.headers.authorization)
    const device = given && (await enrolment.deviceByName(given.name))
    const sha256 = createHash('sha256')
      .update(given?.token ?? '')
      .digest()
    const known = Buffer.from(device?.enrolment?.tokenSha256 ?? '', 'hex')
    const isRight = known.length === sha256.length && timingSafeEqual(known, sha256)
    const isInTime = Date.parse(device?.enrolment?.until ?? '') > this.#clock.now()
    const isGood = device?.enabled === true && !device.revoked
    if (device !== undefined && isRight && isInTime && isGood)
      return { device, shown: { tokenSha256: sha256.toString('hex') } }
    const waitMs = this.#wrongTokens.count(facts.remoteAddress, this.#clock.monotonic())
    if (waitMs > 0) {
      exchange.response.shouldKeepAlive = false
      const headers = { 'Retry-After': String(Math.ceil(waitMs / 1000)) }
      return { ...problem(429, 'RATE_LIMITED', 'too many wrong tokens from this address'), headers }
    }
    this.#raise('ENROLMENT_REFUSED', facts, undefined, 'wrong token')
    // The same for each: which devices there are is nobody's business.
    const wrong = problem(
      401,
      'TOKEN_REFUSED',
      'expected the name of a device and its token, unused and in time',
    )
    return { ...wrong, headers: { 'WWW-Authenticate': 'Basic realm="enrolment"' } }
  }

  async #enrol(
    exchange: Exchange,
    { device, shown }: Applicant,
    enrolment: EnrolmentHost,
  ): Promise<Problem | Certificates> {
    const csr = await this.#readCsr(exchange)
    if (typeof csr !== 'string') return csr
    if (this.#waiting >= MAX_WAITING) return BUSY
    this.#waiting += 1
    const answer = await enrolment.enrol({ deviceId: device.id, csr, ...shown }).finally(() => {
      this.#waiting -= 1
    })
    if (answer === undefined) return LATE
    if ('refusal' in answer) return this.#refused(answer, exchange.facts, device)
    this.#raise('DEVICE_ENROLLED', exchange.facts, device)
    return { type: 'application/pkcs7-mime; smime-type=certs-only', certificates: [answer.certificate] }
  }

  #refused(
    { refusal, detail }: Extract<EnrolmentAnswer, { refusal: string }>,
    facts: LinkFacts,
    device: DeviceRecord,
  ): Problem {
    this.#raise('ENROLMENT_REFUSED', facts, device, detail)
    return problem(refusal === 'CSR_INVALID' ? 400 : 403, refusal, detail)
  }

  /** Base64 of the DER; what it is of, the issuer finds out. */
  async #readCsr({ request, response, awaitsContinue }: Exchange): Promise<string | Problem> {
    const tooLarge = problem(413, 'PAYLOAD_TOO_LARGE', `body: expected at most ${MAX_BODY_BYTES} bytes`)
    if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) return tooLarge
    if (awaitsContinue) response.writeContinue()
    const body: Body = await readBody(request, MAX_BODY_BYTES, this.#budget)
    if (body === 'TooLarge') return tooLarge
    if (body === 'Busy' || body === 'Gone') return BUSY
    const text = body
      .toString('latin1')
      .replaceAll(/-----[A-Z ]+-----/g, '')
      .replaceAll(/\s+/g, '')
    if (/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return text
    return problem(400, 'CSR_INVALID', 'body: expected a PKCS #10 request in base64, got something else')
  }

  #raise(code: EventCode, facts: LinkFacts, device?: DeviceRecord, detail?: string): void {
    this.#host.raise({
      code,
      objectType: device === undefined ? 'hub' : 'device',
      objectId: device?.id ?? this.#host.hub().uid,
      ...(detail === undefined ? {} : { detail }),
      extra: {
        ...(device === undefined ? {} : { 'object-name': device.name }),
        'source-address': facts.remoteAddress,
      },
    })
  }
}

interface Certificates {
  type: string
  /** PEM. */
  certificates: readonly string[]
}

const problem = (status: number, code: string, detail: string): Problem => ({ status, code, detail })

const BUSY: Problem = {
  ...problem(503, 'BUSY', 'too many certificates are being asked for'),
  headers: { 'Retry-After': '5' },
}
/** Asking again with the same request is safe, also with a token. */
const LATE: Problem = {
  ...problem(503, 'LATE', 'the certificate is not ready yet: send the same request again'),
  headers: { 'Retry-After': '5' },
}

function operationOf({ url = '' }: IncomingMessage): Operation | undefined {
  const name = url.split('?', 1)[0]?.slice(EST_PATH.length) ?? ''
  return Object.hasOwn(OPERATIONS, name) ? (name as Operation) : undefined
}

function basicCredentials(header: string | undefined): { name: string; token: string } | undefined {
  const encoded = /^Basic ([A-Za-z0-9+/]{1,512}={0,2})$/i.exec(header ?? '')?.[1]
  const [, name, token] = /^([^:]+):(.+)$/s.exec(Buffer.from(encoded ?? '', 'base64').toString()) ?? []
  if (name === undefined || token === undefined || [...name].length > NAME_MAX_LENGTH) return undefined
  return { name, token }
}

async function sendCertificates(
  response: ServerResponse,
  { type, certificates }: Certificates,
): Promise<void> {
  const body = await certsOnly(certificates)
  if (response.destroyed) return
  response.writeHead(200, {
    'Content-Type': type,
    'Content-Transfer-Encoding': 'base64',
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
  })
  response.end(body)
}
