import type { Static } from 'typebox'
import { Type } from 'typebox'
import { Block, Choice, List, Time, Whole } from './fields.ts'
import { Endpoint, statusBase } from './meta.ts'
import { fingerprint } from './shared-fields.ts'

const count = (description: string) =>
  Type.Optional(Whole({ description, minimum: 0, maximum: Number.MAX_SAFE_INTEGER }))

const certificateAuthority = (description: string) =>
  Type.Optional(
    Block(
      {
        fingerprints: Type.Optional(
          List(fingerprint('SHA-256 of a certificate (DER), in hex.'), {
            description: 'The certificates that are trusted now; several during a rotation.',
            maxItems: 16,
          }),
        ),
        notAfter: Type.Optional(Time({ description: 'When the first of them expires.' })),
      },
      { description },
    ),
  )

export const HubStatus = Block(
  {
    ...statusBase,
    endpoints: Type.Optional(
      List(Endpoint, { description: 'Where clients connect, the encrypted ones first.', maxItems: 32 }),
    ),
    devices: count('Devices of the hub.'),
    connectedDevices: count('Devices with a connection, as of the last digest.'),
    replicas: count('Broker pods that exist.'),
    readyReplicas: count('Broker pods that are ready.'),
    deviceCA: certificateAuthority("The CA of the devices' certificates."),
    serverCA: certificateAuthority('The CA that clients check the server certificate with.'),
    serverCertificateNotAfter: Type.Optional(Time({ description: 'When the server certificate expires.' })),
    redis: Type.Optional(
      Block(
        {
          mode: Type.Optional(
            Choice(['Managed', 'URL', 'Secret', 'OperatorDefault'], {
              description: 'Where Redis comes from.',
            }),
          ),
          durability: Type.Optional(
            Choice(['Fsync', 'Replicated', 'Relaxed'], { description: 'The durability in force.' }),
          ),
        },
        { description: 'The Redis in use.' },
      ),
    ),
  },
  { description: 'What was seen of the hub; written by the operator.' },
)
export type HubStatus = Static<typeof HubStatus>
