import type { Static } from 'typebox'
import { Type } from 'typebox'
import { messageFilters } from './device-filters.ts'
import { DeviceStatus } from './device-status.ts'
import { Block, exactlyOneOf, Flag, Text } from './fields.ts'
import type { KindDefinition, Resource } from './meta.ts'
import { lastColumns, objectNameRule, readyColumns, SUBDOMAIN_PATTERN } from './meta.ts'
import { certificatePem, Duration, hubRef, KeyAlgorithm, SecretKeyRef } from './shared-fields.ts'

/** X.520 bounds a common name by 64 characters (ub-common-name). */
export const DEVICE_NAME_MAX_LENGTH = 64

/** Another value than before: the device gets a new managed certificate. */
export const ROTATE_ANNOTATION = 'iot.hublet.dev/rotate'

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
    overlap: Type.Optional(
      Duration({
        description:
          'How long a replaced certificate is still accepted, unless the device has used the new one before: ' +
          'renewBefore when left out. 0s: not at all.',
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

const enrolled = Block(
  {
    duration: Duration({
      default: '2160h',
      minimum: '1h',
      description: 'How long a certificate is valid; the device asks for the next one in time.',
    }),
    overlap: Duration({
      default: '24h',
      description:
        'How long a replaced certificate is still accepted, unless the device has used the new one before.',
    }),
    tokenTTL: Duration({
      default: '24h',
      minimum: '1m',
      description: 'How long the token for the first certificate can be used.',
    }),
  },
  {
    description:
      'Asked for by the device over EST (https) with a key that it made and keeps; matched as managed ones are. ' +
      'The token for the first one is in Secret device-<device>-enrolment.',
  },
)

const certificate = Block(
  {
    managed: Type.Optional(managed),
    provided: Type.Optional(provided),
    enrolled: Type.Optional(enrolled),
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
    rules: [exactlyOneOf(['managed', 'provided', 'hubCA', 'enrolled'])],
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
    serviceAccount: Type.Optional(
      Block(
        {
          name: Text({
            description: 'Name of the ServiceAccount, in the namespace of this object.',
            minLength: 1,
            maxLength: 253,
            pattern: SUBDOMAIN_PATTERN,
          }),
        },
        {
          description:
            'For a program in the cluster: it may log in by a token of this ServiceAccount instead of a ' +
            'certificate, on encrypted links, with the name of the device as user name. The audience of the token ' +
            'is hub-<hub>.<namespace>.svc.',
        },
      ),
    ),
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
