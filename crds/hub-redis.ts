import { Type } from 'typebox'
import { Block, Choice, exactlyOneOf, Text } from './fields.ts'
import { Duration, SecretRef } from './shared-fields.ts'

/** Where a hub keeps what must outlive a broker. */
export const hubRedis = Block(
  {
    managed: Type.Optional(
      Block(
        {
          storageSize: Text({
            default: '1Gi',
            description: 'Size of the volume.',
            minLength: 1,
            maxLength: 32,
            pattern: '^[1-9][0-9]*(Ki|Mi|Gi|Ti|k|M|G|T)?$',
          }),
          storageClassName: Type.Optional(
            Text({
              description: "Storage class of the volume; the cluster's default when left out.",
              minLength: 1,
              maxLength: 253,
            }),
          ),
        },
        { description: 'The operator runs a Redis for this hub.' },
      ),
    ),
    url: Type.Optional(
      Text({
        description: 'redis:// or rediss:// URL without credentials; those belong in a Secret.',
        maxLength: 2048,
        sensitive: true,
        pattern: '^rediss?://[^@\\s]+$',
      }),
    ),
    secretRef: Type.Optional(SecretRef('Secret with url, and optionally username, password and ca.crt.')),
    durability: Choice(['Fsync', 'Replicated', 'Relaxed'], {
      default: 'Fsync',
      description:
        'When a message counts as stored: on the disk of Redis, on a replica of it, or in its memory.',
    }),
    grace: Duration({
      default: '60s',
      minimum: '1s',
      maximum: '24h',
      description: 'With Redis out of reach for this long, every session is closed.',
    }),
  },
  {
    description:
      "Where sessions, retained messages and device records live. Left out: the operator's default, else managed.",
    rules: [exactlyOneOf(['managed', 'url', 'secretRef'])],
  },
)
