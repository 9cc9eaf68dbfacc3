import type { Static } from 'typebox'
import { Type } from 'typebox'
import { messageFilters } from './device-filters.ts'
import { Block, Choice, exactlyOneOf, Flag, List, Text, Time, Whole } from './fields.ts'
import type { KindDefinition, Resource } from './meta.ts'
import {
  certificatePem,
  Duration,
  fingerprint,
  hubRef,
  KeyAlgorithm,
  lastColumns,
  objectNameRule,
  readyColumns,
  SecretKeyRef,
  SUBDOMAIN_PATTERN,
  statusBase,
} from './meta.ts'

/** X.520 bounds a common name by 64 characters (ub-common-name). */
export const DEVICE_NAME_MAX_LENGTH = 64

const UUID_PATTERN = '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'

const managed = Block(
  {
    secretName: Type.Optional(
      Text({
        description: 'Secret that the certificate is written to; device-<device>-tls when left out.',
        minLength: 1,
        maxLength: 253,
        pattern: SUBDOMAIN_PATTERN,
      }),
    ),
    keyAlgorithm: KeyAlgorithm('the device certificate'),
    duration: Duration({
      default: '8760h',
      minimum: '1h',
      description: 'How long a certificate is valid.',
    }),
    renewBefore: Type.Optional(
      Duration({
        minimum: '1m',
        description: 'How long before its end a certificate is renewed; a third of duration when left out.',
      }),
    ),
  },
  {
    description: "Issued by the hub's device CA and renewed in time; matched by its fingerprint.",
    rules: [
      {
        rule: '!has(self.renewBefore) || duration(self.renewBefore) < duration(self.duration)',
        message: 'renewBefore must be shorter than duration',
        fieldPath: '.renewBefore',
      },
    ],
  },
)

const provided = Block(
  {
    secretRef: Type.Optional(SecretKeyRef('Secret that holds the certificate (PEM, public).', 'tls.crt')),
    pem: Type.Optional(certificatePem('The certificate itself (PEM, public).')),
  },
  {
    description: 'Exactly this certificate of yours, whoever issued it; matched by its fingerprint.',
    rules: [exactlyOneOf(['secretRef', 'pem'])],
  },
)

const certificate = Block(
  {
    managed: Type.Optional(managed),
    provided: Type.Optional(provided),
    hubCA: Type.Optional(
      Block(
        {},
        {
          description:
            "Any certificate that the hub's own device CA (deviceCA.secretRef or deviceCA.provided) signed and " +
            'whose common name is the name of the device.',
        },
      ),
    ),
  },
  {
    description:
      'The client certificate. Left out: hubCA on a hub with deviceCA.provided, managed on every other hub.',
    rules: [exactlyOneOf(['managed', 'provided', 'hubCA'])],
  },
)

export const DeviceSpec = Block(
  {
    hubRef,
    name: Type.Optional(
      Text({
        description:
          'Name of the device: the common name of its certificates, unique in its hub. Cannot be changed. ' +
          'metadata.name when left out.',
        minLength: 1,
        maxLength: DEVICE_NAME_MAX_LENGTH,
        pattern: '^[^\\x00-\\x1f\\x7f]+$',
      }),
    ),
    id: Type.Optional(
      Text({
        description:
          'Id of the device (UUID, lower case): the credential of links without a client certificate. ' +
          'metadata.uid when left out. Can be set once, so devices keep their id when they move here.',
        minLength: 36,
        maxLength: 36,
        pattern: UUID_PATTERN,
        rules: [{ rule: 'self == oldSelf', message: 'id cannot be changed once it is set' }],
      }),
    ),
    enabled: Flag({
      default: true,
      description: 'Whether the device may connect; false cuts it within 2 s.',
    }),
    revoked: Flag({
      default: false,
      description:
        'Refuses the device and every certificate it has now, until they expire, even if this is taken back.',
    }),
    approved: Type.Optional(
      Flag({
        description:
          'Set to false by auto-provisioning in mode Approve: the device may connect once it is true.',
      }),
    ),
    allowInsecure: Flag({
      default: false,
      description: 'Whether links without a client certificate are accepted; the device id identifies them.',
    }),
    allowMultipleConnections: Flag({
      default: false,
      description:
        'Whether the device may be connected several times, each with its own client id. Otherwise a new ' +
        'connection closes the one before.',
    }),
    messageFilters: messageFilters('Topics that the device may publish on and receive.'),
    certificate: Type.Optional(certificate),
    passwordSecretRef: Type.Optional(
      SecretKeyRef(
        'Password that links without a client certificate have to give. None is asked for when left out.',
        'password',
      ),
    ),
  },
  {
    description: 'What the device may do.',
    rules: [
      {
        rule: '!has(oldSelf.id) || has(self.id)',
        message: 'id cannot be removed once it is set',
        fieldPath: '.id',
      },
    ],
  },
)
export type DeviceSpec = Static<typeof DeviceSpec>

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
          notAfter: Type.Optional(Time({ description: 'When the newest of them expires.' })),
          secretName: Type.Optional(
            Text({ description: 'The Secret that holds certificate and key.', maxLength: 253 }),
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
export type Device = Resource<'Device', DeviceSpec, DeviceStatus>

const nameOf = (object: string) =>
  `(has(${object}.spec.name) ? ${object}.spec.name : ${object}.metadata.name)`

export const deviceKind: KindDefinition = {
  kind: 'Device',
  plural: 'devices',
  singular: 'device',
  shortNames: ['dev', 'iotdev'],
  description: 'One device of a hub: its identity, its certificate and what it may publish and receive.',
  spec: DeviceSpec,
  status: DeviceStatus,
  rules: [
    {
      rule: `has(self.spec.name) || self.metadata.name.size() <= ${DEVICE_NAME_MAX_LENGTH}`,
      message: `metadata.name has more than ${DEVICE_NAME_MAX_LENGTH} characters: spec.name must be set`,
      fieldPath: '.spec.name',
    },
    objectNameRule,
    {
      rule: `${nameOf('self')} == ${nameOf('oldSelf')}`,
      message: 'the name of a device cannot be changed',
      fieldPath: '.spec.name',
    },
  ],
  columns: [
    { name: 'Hub', type: 'string', jsonPath: '.spec.hubRef.name', description: 'The hub of the device.' },
    ...readyColumns,
    {
      name: 'Connected',
      type: 'boolean',
      jsonPath: '.status.connected',
      description: 'Whether it is connected.',
    },
    {
      name: 'Last Activity',
      type: 'date',
      jsonPath: '.status.lastActivityTime',
      description: 'Time since the device last sent something.',
    },
    {
      // A date column prints times to come as <invalid>.
      name: 'Certificate Until',
      type: 'string',
      jsonPath: '.status.certificate.notAfter',
      description: 'When the certificate expires.',
    },
    ...lastColumns,
    {
      name: 'Id',
      type: 'string',
      jsonPath: '.status.id',
      description: 'The device id.',
      priority: 1,
    },
  ],
}

/** Reasons of a Device's conditions, beside `COMMON_REASONS`. */
export const DEVICE_REASONS = {
  /** `spec.enabled` is false: as asked for, the device cannot connect. */
  Disabled: 'Disabled',
  /** `spec.revoked` is true. */
  Revoked: 'Revoked',
  /** Provisioned in mode Approve and not approved yet. */
  PendingApproval: 'PendingApproval',
  /** An older Device of the hub has this name. */
  DuplicateName: 'DuplicateName',
  /** An older Device of the hub has this id. */
  DuplicateId: 'DuplicateId',
  /** An older Device of the hub has this certificate. */
  DuplicateCertificate: 'DuplicateCertificate',
  /** The hub has `spec.limits.devices` older devices. */
  DeviceLimitReached: 'DeviceLimitReached',
  /** A filter template cannot be expanded: that direction is closed. */
  FilterTemplateInvalid: 'FilterTemplateInvalid',
  /** The certificate cannot be read, or has expired. */
  CertificateInvalid: 'CertificateInvalid',
  /** The spec asks for a kind of certificate that the hub's device CA cannot give. */
  CertificateNotPossible: 'CertificateNotPossible',
} as const
