import type { Static } from 'typebox'
import { Type } from 'typebox'
import { Block, Choice, Flag, Text, Whole } from './fields.ts'
import { autoProvisioning } from './hub-auto-provisioning.ts'
import { hubDeviceCA, hubServerTLS } from './hub-certificates.ts'
import { hubLimits } from './hub-limits.ts'
import { hubListeners, LISTENER_PORTS } from './hub-listeners.ts'
import { hubPod, hubProxyProtocol, hubService } from './hub-pod.ts'
import { hubRedis } from './hub-redis.ts'
import { HubStatus } from './hub-status.ts'
import type { KindDefinition, Resource } from './meta.ts'
import { HUB_NAME_MAX_LENGTH, lastColumns, readyColumns } from './meta.ts'
import { Duration } from './shared-fields.ts'
import { prefixRules } from './topics.ts'

const events = Block(
  {
    enabled: Flag({ default: true, description: 'Whether the hub tells what happens to it.' }),
    topicPrefix: Text({
      default: '$hub/events',
      description: 'Events go to <prefix>/<severity>/<object type>/<object id>. No client can publish there.',
      minLength: 1,
      maxLength: 255,
      rules: [
        ...prefixRules,
        {
          rule: "!self.matches('^\\\\$(share|queue|SYS)(/|$)')",
          message: 'must not begin with $share, $queue or $SYS, which have a meaning in MQTT',
        },
      ],
    }),
  },
  { default: {}, description: 'Messages of the hub about itself: refusals, losses, failures.' },
)

const messaging = Block(
  {
    retained: Flag({ default: true, description: 'Whether retained messages may be published.' }),
    maxQoS: Type.Unsafe<0 | 1 | 2>({
      type: 'integer',
      enum: [0, 1, 2],
      default: 2,
      description:
        'The highest quality of service. A publish above it is refused; a subscription is lowered, before MQTT 5 refused.',
    }),
    persistentSessions: Flag({
      default: true,
      description:
        'Whether a session may outlive its connection; otherwise clients must ask for a clean one.',
    }),
    sessionExpiry: Duration({
      default: '168h',
      minimum: '1s',
      description: 'After this long offline a session and what waits for it is forgotten.',
    }),
  },
  { default: {}, description: 'What MQTT offers on this hub.' },
)

export const HubSpec = Block(
  {
    enabled: Flag({
      default: true,
      description: 'Whether devices may connect; false cuts all of them within 2 s.',
    }),
    replicas: Whole({ default: 1, minimum: 1, maximum: 32, description: 'Number of broker pods.' }),
    listeners: hubListeners,
    deviceCA: hubDeviceCA,
    serverTLS: hubServerTLS,
    autoProvisioning,
    events,
    limits: hubLimits,
    messaging,
    redis: Type.Optional(hubRedis),
    service: hubService,
    proxyProtocol: Type.Optional(hubProxyProtocol),
    pod: hubPod,
    deletionPolicy: Choice(['Protect', 'Cascade', 'Orphan'], {
      default: 'Protect',
      description:
        'What a deletion of the hub does while Devices refer to it. Protect: it waits for them. Cascade: they, ' +
        'their Networks and Routes are deleted too. Orphan: they stay and report HubNotFound.',
    }),
  },
  {
    default: {},
    description: 'What the hub should be.',
  },
)
export type HubSpec = Static<typeof HubSpec>
export type Hub = Resource<'Hub', HubSpec, HubStatus>

/** Another value than before: the hub gets a new managed device CA. */
export const ROTATE_DEVICE_CA_ANNOTATION = 'iot.hublet.dev/rotate-device-ca'
/** The same for the managed server CA. */
export const ROTATE_SERVER_CA_ANNOTATION = 'iot.hublet.dev/rotate-server-ca'

const openPorts = `[${Object.keys(LISTENER_PORTS)
  .map((name) => `self.spec.listeners.${name}`)
  .map((listener) => `${listener}.enabled ? ${listener}.port : -1`)
  .join(', ')}]`

export const hubKind: KindDefinition = {
  kind: 'Hub',
  plural: 'hubs',
  singular: 'hub',
  shortNames: ['iothub'],
  description:
    'An MQTT hub: listeners, certificate authorities, limits. Devices, Networks and Routes refer to it.',
  spec: HubSpec,
  status: HubStatus,
  rules: [
    {
      rule: `self.metadata.name.size() <= ${HUB_NAME_MAX_LENGTH}`,
      message: `metadata.name must have at most ${HUB_NAME_MAX_LENGTH} characters: names of Secrets and Services are made from it`,
      fieldPath: '.metadata.name',
    },
    {
      rule: "!self.metadata.name.contains('.')",
      message: 'metadata.name must not contain a dot: names of Services are made from it',
      fieldPath: '.metadata.name',
    },
    {
      rule: `${openPorts}.all(p, p < 0 || ${openPorts}.exists_one(q, q == p))`,
      message: 'two open listeners cannot share a port',
      fieldPath: '.spec.listeners',
    },
    {
      rule: '!self.spec.autoProvisioning.enabled || !has(self.spec.deviceCA.managed)',
      message: 'autoProvisioning needs a device CA of your own: deviceCA.secretRef or deviceCA.provided',
      fieldPath: '.spec.autoProvisioning.enabled',
    },
    {
      rule: "!has(self.spec.autoProvisioning.quarantine) || self.spec.autoProvisioning.mode == 'Approve'",
      message: 'quarantine is for devices that wait for approval: mode Approve',
      fieldPath: '.spec.autoProvisioning.quarantine',
    },
  ],
  columns: [
    ...readyColumns,
    { name: 'Devices', type: 'integer', jsonPath: '.status.devices', description: 'Devices of the hub.' },
    {
      name: 'Connected',
      type: 'integer',
      jsonPath: '.status.connectedDevices',
      description: 'Devices connected now.',
    },
    {
      name: 'Endpoint',
      type: 'string',
      jsonPath: '.status.endpoints[0].url',
      description: 'The first endpoint.',
    },
    ...lastColumns,
  ],
}

/** Reasons of a Hub's conditions, beside `COMMON_REASONS`. */
export const HUB_REASONS = {
  /** `spec.enabled` is false: as asked for, nobody can connect. */
  Disabled: 'Disabled',
  /** Fewer broker pods are ready than `spec.replicas`. */
  BrokersNotReady: 'BrokersNotReady',
  /** `spec.replicas` is above 1 before brokers can share a hub. */
  MultiBrokerUnsupported: 'MultiBrokerUnsupported',
  /** The device CA cannot be read, has expired, or is no CA. */
  DeviceCAInvalid: 'DeviceCAInvalid',
  /** A revocation list cannot be read, is of another CA, or older than the one before it. */
  CRLInvalid: 'CRLInvalid',
  /** A revocation list should have been followed by another one by now. */
  CRLStale: 'CRLStale',
  /** The challenge certificate does not prove the possession of the CA's key. */
  ChallengeFailed: 'ChallengeFailed',
  /** The server certificate cannot be read, has expired, or does not fit its key. */
  ServerCertificateInvalid: 'ServerCertificateInvalid',
  /** The Redis of the hub cannot give the durability that is asked for. */
  DurabilityUnsupported: 'DurabilityUnsupported',
  /** Redis cannot be reached or refuses us. */
  RedisUnavailable: 'RedisUnavailable',
  /** Deletion waits: Devices still refer to the hub and `spec.deletionPolicy` is Protect. */
  DevicesExist: 'DevicesExist',
  /** Devices beyond `spec.limits.devices` are left out. */
  DeviceLimitReached: 'DeviceLimitReached',
} as const
