/** Fields that several kinds have: durations, references, certificates. */
import type { Static } from 'typebox'
import type { CelRule } from './fields.ts'
import { Block, Choice, Text } from './fields.ts'
import { HUB_NAME_MAX_LENGTH, LABEL_PATTERN, SUBDOMAIN_PATTERN } from './meta.ts'

/** `1h30m`, `168h`, `500ms`: the part of Go's duration syntax that both CEL and we read alike. */
export const DURATION_PATTERN = '^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?([0-9]{1,6}ms)?$'

interface DurationOptions {
  description: string
  default?: string
  /** Shortest allowed, in the same syntax. */
  minimum?: string
  maximum?: string
}

/** A span of time as text. */
export function Duration({ minimum, maximum, ...options }: DurationOptions) {
  const rules: CelRule[] = []
  if (minimum !== undefined)
    rules.push({ rule: `duration(self) >= duration('${minimum}')`, message: `must be at least ${minimum}` })
  if (maximum !== undefined)
    rules.push({ rule: `duration(self) <= duration('${maximum}')`, message: `must be at most ${maximum}` })
  return Text({
    ...options,
    minLength: 2,
    maxLength: 32,
    pattern: DURATION_PATTERN,
    ...(rules.length === 0 ? {} : { rules }),
  })
}

export const KeyAlgorithm = (subject: string) =>
  Choice(['ECDSA-P256', 'RSA-2048'], {
    default: 'ECDSA-P256',
    description: `Algorithm of the private key of ${subject}. RSA-2048 is for clients that cannot do elliptic curves.`,
  })
export type KeyAlgorithm = Static<ReturnType<typeof KeyAlgorithm>>

const secretName = Text({
  description: 'Name of the Secret, in the namespace of this object: references never cross a namespace.',
  minLength: 1,
  maxLength: 253,
  pattern: SUBDOMAIN_PATTERN,
})

/** A whole Secret of the same namespace; the description says which keys it needs. */
export const SecretRef = (description: string) => Block({ name: secretName }, { description })

/** One key of a Secret of the same namespace. */
export const SecretKeyRef = (description: string, defaultKey: string) =>
  Block(
    {
      name: secretName,
      key: Text({
        description: 'Key inside the Secret.',
        default: defaultKey,
        minLength: 1,
        maxLength: 253,
        pattern: '^[-._a-zA-Z0-9]+$',
      }),
    },
    { description },
  )
export type SecretKeyRef = Static<ReturnType<typeof SecretKeyRef>>

export const hubRef = Block(
  {
    name: Text({
      description: 'Name of the Hub, in the namespace of this object: references never cross a namespace.',
      minLength: 1,
      maxLength: HUB_NAME_MAX_LENGTH,
      pattern: LABEL_PATTERN,
    }),
  },
  { description: 'The hub that this object belongs to.' },
)

/** PEM certificates. Only a first look is taken here; the operator reads them and reports in a condition. */
export const certificatePem = (description: string) =>
  Text({
    description,
    maxLength: 65536,
    // A private key pasted here by mistake must not show up in a message.
    sensitive: true,
    pattern: '-----BEGIN CERTIFICATE-----',
  })

/** SHA-256 of a certificate's DER, 64 lower-case hex digits. */
export const fingerprint = (description: string) =>
  Text({ description, maxLength: 64, pattern: '^[0-9a-f]{64}$' })

/** Serial number of a certificate that Hublet has issued. */
export const serialNumber = Text({
  description: 'Serial number of the certificate, in hex; of one that Hublet has issued.',
  maxLength: 40,
  pattern: '^[0-9a-f]{2,40}$',
})

const IPV4 =
  '((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])[.]){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])'
const GROUP = '[0-9a-fA-F]{1,4}'
/** Eight groups, or `::` in the place of one or more. */
const IPV6 = [
  `(${GROUP}:){7}${GROUP}`,
  `(${GROUP}:){1,7}:`,
  ...[1, 2, 3, 4, 5, 6].map((after) => `(${GROUP}:){1,${7 - after}}(:${GROUP}){1,${after}}`),
  `:(:${GROUP}){1,7}`,
  '::',
].join('|')

/** `198.51.100.0/24`, `2001:db8::/32`. Not `/0`, which is everybody. */
export const CIDR_PATTERN = `^((${IPV4})/([1-9]|[12][0-9]|3[0-2])|(${IPV6})/([1-9]|[1-9][0-9]|1[01][0-9]|12[0-8]))$`

export const Cidr = (description: string) =>
  Text({ description, minLength: 4, maxLength: 43, pattern: CIDR_PATTERN })
