import type { Static } from 'typebox'
import { Type } from 'typebox'
import { messageFilters } from './device-filters.ts'
import { Block, Choice, exactlyOneOf, Flag, List, MapOf, Text, Whole } from './fields.ts'
import { hubLimits } from './hub-limits.ts'
import { hubPod, hubService } from './hub-pod.ts'
import { HubStatus } from './hub-status.ts'
import type { KindDefinition, Resource } from './meta.ts'
import {
  certificatePem,
  Duration,
  HUB_NAME_MAX_LENGTH,
  KeyAlgorithm,
  lastColumns,
  readyColumns,
  SecretRef,
} from './meta.ts'
import { prefixRules } from './topics.ts'

/** Listener name → port. The names are those of `ListenerName` in the broker (design §8.17). */
export const LISTENER_PORTS = {
  mqtt: 1883,
  mqtts: 8883,
  ws: 8083,
  wss: 8084,
  http: 8080,
  https: 8443,
} as const

const listener = (enabled: boolean, port: number, description: string) =>
  Block(
    {
      enabled: Flag({ default: enabled, description: 'Whether the listener is open.' }),
      port: Whole({
        default: port,
        minimum: 1,
        maximum: 65535,
        description: "Port that clients use: the Service's in a cluster, the process's in hublet dev.",
      }),
    },
    { default: {}, description },
  )

const openPorts = `[${Object.keys(LISTENER_PORTS)
  .map((name) => `self.${name}.enabled ? self.${name}.port : -1`)
  .join(', ')}]`

const listeners = Block(
  {
    mqtt: listener(
      true,
      LISTENER_PORTS.mqtt,
      'MQTT over TCP, not encrypted; devices with allowInsecure only.',
    ),
    mqtts: listener(
      true,
      LISTENER_PORTS.mqtts,
      'MQTT over TLS. Asks for a client certificate; without one, devices with allowInsecure only.',
    ),
    ws: listener(
      true,
      LISTENER_PORTS.ws,
      'MQTT over WebSocket at /mqtt, not encrypted; devices with allowInsecure only.',
    ),
    wss: listener(
      true,
      LISTENER_PORTS.wss,
      'MQTT over WebSocket over TLS at /mqtt. Asks for a client certificate, as mqtts does.',
    ),
    http: listener(
      false,
      LISTENER_PORTS.http,
      'HTTP for token networks at /networks/<name>, not encrypted: tokens can be overheard.',
    ),
    https: listener(true, LISTENER_PORTS.https, 'HTTPS for token networks at /networks/<name>.'),
  },
  {
    default: {},
    description: 'What the hub listens on.',
    rules: [
      {
        rule: `${openPorts}.all(p, p < 0 || ${openPorts}.exists_one(q, q == p))`,
        message: 'two open listeners cannot share a port',
      },
    ],
  },
)

const deviceCA = Block(
  {
    managed: Type.Optional(
      Block(
        { keyAlgorithm: KeyAlgorithm("the hub's device CA") },
        { description: 'The operator makes the CA and issues device certificates from it.' },
      ),
    ),
    secretRef: Type.Optional(
      SecretRef(
        'Your CA with its private key (kubernetes.io/tls Secret: tls.crt, tls.key). The operator issues ' +
          'device certificates from it; certificates that you issue yourself are accepted too.',
      ),
    ),
    provided: Type.Optional(
      Block(
        {
          certificate: certificatePem('The CA certificate, intermediates after it (PEM). Public.'),
          challengeCertificate: certificatePem(
            'Proof that you hold the key: a certificate signed by the CA whose common name is the uid of the ' +
              'hub, or <hub>.<namespace> (PEM).',
          ),
        },
        {
          description: 'Your CA without its key: you issue the device certificates, CN = name of the device.',
        },
      ),
    ),
  },
  {
    default: { managed: {} },
    description: "The CA of the devices' client certificates.",
    rules: [exactlyOneOf(['managed', 'secretRef', 'provided'])],
  },
)

const serverTLS = Block(
  {
    managed: Type.Optional(
      Block(
        {
          dnsNames: List(
            Text({
              description: 'A DNS name, or a wildcard such as *.example.com.',
              minLength: 1,
              maxLength: 253,
              pattern: '^(\\*\\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$',
            }),
            {
              default: [],
              maxItems: 32,
              description: "Names that clients use, beside the Service's own and localhost in hublet dev.",
            },
          ),
          ipAddresses: List(
            Text({
              description: 'An IPv4 or IPv6 address.',
              minLength: 2,
              maxLength: 45,
              pattern: '^([0-9]{1,3}(\\.[0-9]{1,3}){3}|[0-9a-fA-F:]*:[0-9a-fA-F:.]*)$',
            }),
            { default: [], maxItems: 32, description: 'Addresses that clients use instead of a name.' },
          ),
          keyAlgorithm: KeyAlgorithm('the server certificate'),
        },
        {
          description:
            'The operator issues the certificate; clients find its CA in ConfigMap hub-<hub>-server-ca.',
        },
      ),
    ),
    secretRef: Type.Optional(
      SecretRef(
        'Your server certificate (kubernetes.io/tls Secret: tls.crt with its chain, tls.key, optional ca.crt).',
      ),
    ),
  },
  {
    default: { managed: {} },
    description: 'The certificate that mqtts, wss and https present.',
    rules: [exactlyOneOf(['managed', 'secretRef'])],
  },
)

const autoProvisioning = Block(
  {
    enabled: Flag({
      default: false,
      description: 'Whether a client whose certificate the device CA signed becomes a Device at first sight.',
    }),
    mode: Choice(['Auto', 'Approve'], {
      default: 'Auto',
      description: 'Auto lets the new device in at once; Approve waits until its spec.approved is true.',
    }),
    template: Block(
      {
        labels: MapOf(Text({ description: 'Value of the label.', maxLength: 63 }), {
          description: 'Labels of the new Device.',
          maxProperties: 32,
          default: {},
        }),
        annotations: MapOf(Text({ description: 'Value of the annotation.', maxLength: 4096 }), {
          description: 'Annotations of the new Device.',
          maxProperties: 32,
          default: {},
        }),
        allowMultipleConnections: Flag({
          default: false,
          description: 'The field of the same name of the new Device.',
        }),
        messageFilters: messageFilters('The field of the same name of the new Device.'),
      },
      { default: {}, description: 'What the new Device looks like.' },
    ),
  },
  { default: {}, description: 'Devices that make themselves known by a certificate of your own CA.' },
)

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
      description: 'The highest quality of service; a publish above it is refused, a subscription lowered.',
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

const redis = Block(
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

export const HubSpec = Block(
  {
    enabled: Flag({
      default: true,
      description: 'Whether devices may connect; false cuts all of them within 2 s.',
    }),
    replicas: Whole({ default: 1, minimum: 1, maximum: 32, description: 'Number of broker pods.' }),
    listeners,
    deviceCA,
    serverTLS,
    autoProvisioning,
    events,
    limits: hubLimits,
    messaging,
    redis: Type.Optional(redis),
    service: hubService,
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
    rules: [
      {
        rule: '!self.autoProvisioning.enabled || !has(self.deviceCA.managed)',
        message: 'autoProvisioning needs a device CA of your own: deviceCA.secretRef or deviceCA.provided',
      },
    ],
  },
)
export type HubSpec = Static<typeof HubSpec>
export type Hub = Resource<'Hub', HubSpec, HubStatus>

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
    },
    {
      rule: "!self.metadata.name.contains('.')",
      message: 'metadata.name must not contain a dot: names of Services are made from it',
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
  /** The challenge certificate does not prove the possession of the CA's key. */
  ChallengeFailed: 'ChallengeFailed',
  /** The server certificate cannot be read, has expired, or does not fit its key. */
  ServerCertificateInvalid: 'ServerCertificateInvalid',
  /** Redis cannot be reached or refuses us. */
  RedisUnavailable: 'RedisUnavailable',
  /** Deletion waits: Devices still refer to the hub and `spec.deletionPolicy` is Protect. */
  DevicesExist: 'DevicesExist',
  /** Devices beyond `spec.limits.devices` are left out. */
  DeviceLimitReached: 'DeviceLimitReached',
} as const
