import type { Static } from 'typebox'
import { Type } from 'typebox'
import { Block, Choice, Flag, List, Text, Time, Whole } from './fields.ts'
import { statusBase } from './meta.ts'
import { fingerprint, serialNumber } from './shared-fields.ts'

export const DeviceStatus = Block(
  {
    ...statusBase,
    id: Type.Optional(Text({ description: 'The id in force.', maxLength: 64 })),
    certificate: Type.Optional(
      Block(
        {
          source: Type.Optional(
            Choice(['Managed', 'Provided', 'HubCA', 'None'], {
              description: 'How a client certificate is matched.',
            }),
          ),
          fingerprints: Type.Optional(
            List(fingerprint('SHA-256 of a certificate (DER), in hex.'), {
              description: 'The certificates that are accepted now; several while a rotation overlaps.',
              maxItems: 16,
            }),
          ),
          retiring: Type.Optional(
            List(
              Block(
                {
                  fingerprint: fingerprint('SHA-256 of the certificate (DER), in hex.'),
                  until: Time({ description: 'When the overlap, or the certificate itself, ends.' }),
                  serial: Type.Optional(serialNumber),
                },
                { description: 'A certificate that was replaced.' },
              ),
              {
                description: 'Those of them that were replaced, accepted until the overlap ends.',
                maxItems: 15,
                mapKeys: ['fingerprint'],
              },
            ),
          ),
          notAfter: Type.Optional(Time({ description: 'When the newest of them expires.' })),
          serial: Type.Optional(serialNumber),
          used: Type.Optional(
            Block(
              {
                fingerprint: fingerprint('SHA-256 of the certificate (DER), in hex.'),
                until: Time({ description: 'When the certificate expires.' }),
              },
              { description: 'The certificate that a broker has let in last, as of the last digest.' },
            ),
          ),
          secretName: Type.Optional(
            Text({ description: 'The Secret that holds certificate and key.', maxLength: 253 }),
          ),
          enrolment: Type.Optional(
            Block(
              {
                token: fingerprint('SHA-256 of the token, in hex.'),
                request: fingerprint('SHA-256 of the request that it was used for, in hex.'),
              },
              {
                description: 'The token that was used: for this request it may be used again, for no other.',
              },
            ),
          ),
          handledRotation: Type.Optional(
            Text({
              description: 'The value of the annotation iot.hublet.dev/rotate that was last acted on.',
              maxLength: 256,
            }),
          ),
        },
        { description: 'The client certificate.' },
      ),
    ),
    revokedFingerprints: Type.Optional(
      List(
        Block(
          {
            fingerprint: fingerprint('SHA-256 of the certificate (DER), in hex.'),
            until: Time({ description: 'When the certificate expires by itself.' }),
            serial: Type.Optional(serialNumber),
          },
          { description: 'A certificate that is refused.' },
        ),
        {
          description: 'Refused until they expire; a change of the spec does not undo it.',
          maxItems: 64,
          mapKeys: ['fingerprint'],
        },
      ),
    ),
    connections: Type.Optional(
      Whole({
        description: 'Open connections, as of the last digest.',
        minimum: 0,
        maximum: Number.MAX_SAFE_INTEGER,
      }),
    ),
    connected: Type.Optional(Flag({ description: 'Whether there is an open connection.' })),
    lastActivityTime: Type.Optional(Time({ description: 'When the device last sent something.' })),
  },
  { description: 'What was seen of the device; written by the operator.' },
)
export type DeviceStatus = Static<typeof DeviceStatus>
