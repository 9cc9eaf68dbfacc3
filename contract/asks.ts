/**
 * What brokers ask of the operator, and what it answers. An ask stands in the stream `asks:open` until it is
 * answered, so a restart of the operator loses none; the channel `bus:asks` only says that there is one. Answers go
 * over the channel `bus:answers`: one that is lost costs the client another attempt and nothing else.
 */
import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'
import { ProvisioningAnswer, ProvisioningRequest } from './provisioning.ts'

/** Asks that wait; the oldest make room. A device that is not answered comes again by itself. */
export const MAX_OPEN_ASKS = 10_000
/** The operator drops what has waited longer: whoever asked has gone long ago. */
export const ASK_EXPIRES_MS = 60_000

const Provision = Type.Object({ kind: Type.Literal('Provision'), request: ProvisioningRequest })

/** A device asks for a certificate of a key that it made (EST). How it has shown who it is, the broker says. */
export const EnrolmentRequest = Type.Object({
  deviceId: Type.String({ maxLength: 64 }),
  /** PKCS #10, DER in base64. */
  csr: Type.String({ maxLength: 16_384 }),
  /** SHA-256 of the token that was given, in hex; absent: it showed its certificate. */
  tokenSha256: Type.Optional(Type.String({ maxLength: 64 })),
  /** SHA-256 of the certificate that was shown, in hex. */
  fingerprint: Type.Optional(Type.String({ maxLength: 64 })),
})
export type EnrolmentRequest = Static<typeof EnrolmentRequest>
const Enrol = Type.Object({ kind: Type.Literal('Enrol'), request: EnrolmentRequest })

export const Ask = Type.Union([Provision, Enrol])
export type Ask = Static<typeof Ask>

/** Why no certificate is issued. Stable. */
const REFUSALS = ['NOT_ENROLLABLE', 'TOKEN_REFUSED', 'CERTIFICATE_REFUSED', 'CSR_INVALID'] as const
export const EnrolmentAnswer = Type.Union([
  /** In force already. PEM, one certificate. */
  Type.Object({ certificate: Type.String() }),
  Type.Object({
    refusal: Type.Unsafe<(typeof REFUSALS)[number]>({ type: 'string', enum: [...REFUSALS] }),
    detail: Type.String(),
  }),
])
export type EnrolmentAnswer = Static<typeof EnrolmentAnswer>

/** An ask with the id that its answer carries. */
export interface OpenAsk {
  id: string
  ask: Ask
}

const Answer = Type.Object({
  /** Id of the ask. */
  id: Type.String(),
  provisioning: Type.Optional(ProvisioningAnswer),
  enrolment: Type.Optional(EnrolmentAnswer),
})
export type Answer = Static<typeof Answer>

const checkAsk = Compile(Ask)
const checkAnswer = Compile(Answer)

/** Fields of an entry of the stream. */
export const encodeAsk = ({ id, ask }: OpenAsk): string[] => ['id', id, 'ask', JSON.stringify(ask)]

/** `fields` as Redis gives them. undefined: not one of ours, or a later version's. */
export function decodeAsk(fields: readonly string[]): OpenAsk | undefined {
  const id = fieldOf(fields, 'id')
  const ask = parse(fieldOf(fields, 'ask'))
  return id !== undefined && checkAsk.Check(ask) ? { id, ask } : undefined
}

export const encodeAnswer = (answer: Answer): string => JSON.stringify(answer)

export function decodeAnswer(text: string): Answer | undefined {
  const answer = parse(text)
  return checkAnswer.Check(answer) ? answer : undefined
}

function fieldOf(fields: readonly string[], name: string): string | undefined {
  const at = fields.findIndex((field, i) => i % 2 === 0 && field === name)
  return at < 0 ? undefined : fields[at + 1]
}

function parse(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text)
  } catch {
    return undefined
  }
}
