import type { Static } from 'typebox'
import { Type } from 'typebox'
import { Block, Choice, List, Text, Time, Whole } from './fields.ts'
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
        next: Type.Optional(
          Block(
            {
              fingerprint: fingerprint('SHA-256 of the certificate (DER), in hex.'),
              from: Type.Optional(
                Time({
                  description: 'When it begins to sign. A CA of yours does when spec.deviceCA says so.',
                }),
              ),
            },
            { description: 'One that is published or trusted already and signs nothing yet.' },
          ),
        ),
        retired: Type.Optional(
          List(
            Block(
              {
                fingerprint: fingerprint('SHA-256 of the certificate (DER), in hex.'),
                until: Time({ description: 'When its trust ends.' }),
              },
              { description: 'A CA whose place another one has taken.' },
            ),
            {
              description: 'Those of them that were replaced, trusted until the overlap ends.',
              maxItems: 8,
              mapKeys: ['fingerprint'],
            },
          ),
        ),
        crl: Type.Optional(
          Block(
            {
              revoked: Whole({
                description: 'Certificates that the lists name.',
                minimum: 0,
                maximum: 10_000,
              }),
              nextUpdate: Type.Optional(Time({ description: 'When the first of the lists is out of date.' })),
            },
            { description: 'The revocation lists in force.' },
          ),
        ),
        handledRotation: Type.Optional(
          Text({
            description: 'The value of the rotate annotation that was last acted on.',
            maxLength: 256,
          }),
        ),
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
    revoked: Type.Optional(
      Block(
        {
          certificates: Whole({ description: 'How many there are.', minimum: 0, maximum: 5_000 }),
          until: Time({ description: 'When the last of them expires.' }),
        },
        {
          description:
            'Revoked certificates whose Device is gone, in ConfigMap hub-<hub>-revoked: refused until they expire, ' +
            'also when the Device comes back.',
        },
      ),
    ),
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
