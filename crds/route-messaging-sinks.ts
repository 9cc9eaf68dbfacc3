/** The destinations of a Route that are message systems, and CloudEvents: one block each. */
import { Type } from 'typebox'
import { Block, Choice, Flag, List, Text, Whole } from './fields.ts'
import { SecretKeyRef, SecretRef } from './shared-fields.ts'
import { FILTER_MAX_LENGTH, filterRules, prefixRules } from './topics.ts'

const HOST = '([0-9A-Za-z.-]+|\\[[0-9A-Fa-f:.]+\\])'

/** `host`, `host:port`, `[IPv6]:port`. */
const address = (description: string) =>
  Text({ description, minLength: 1, maxLength: 261, pattern: `^${HOST}(:[0-9]{1,5})?$` })

const addresses = (description: string) =>
  List(address('Host name or address, and a port after a colon.'), {
    description,
    minItems: 1,
    maxItems: 16,
    set: true,
  })

const tlsFields = {
  caSecretRef: Type.Optional(
    SecretKeyRef("CA certificates (PEM) to check the server with; the system's when left out.", 'ca.crt'),
  ),
  certificateSecretRef: Type.Optional(
    SecretRef('Client certificate: Secret with tls.crt and tls.key (kubernetes.io/tls).'),
  ),
}

const tls = Block(
  {
    mode: Choice(['VerifyFull', 'Require', 'Disable'], {
      default: 'VerifyFull',
      description: 'VerifyFull checks certificate and name, Require only encrypts, Disable does neither.',
    }),
    ...tlsFields,
  },
  { default: {}, description: 'Encryption of the connection.' },
)

export const nats = Block(
  {
    servers: addresses('Servers of one cluster; port 4222 unless said. The first that answers is used.'),
    subject: Text({
      default: '{{ topic }}',
      description:
        'Subject of the message. {{ topic }} stands for the topic: its levels become tokens, and what a token ' +
        'cannot hold is written as % and two hex digits. The header Mqtt-Topic has the topic as it is.',
      minLength: 1,
      maxLength: 512,
      rules: [
        {
          rule: "self.matches(r'^([^\\s.*>{}]+\\.)*([^\\s.*>{}]+|\\{\\{ ?topic ?\\}\\})$')",
          message: 'must be tokens with dots between them, the last of which may be {{ topic }}',
        },
      ],
    }),
    stream: Type.Optional(
      Text({
        description: 'Name of the JetStream stream that has to take the messages; any when left out.',
        minLength: 1,
        maxLength: 255,
        pattern: '^[^\\s.*>/\\\\]+$',
      }),
    ),
    credentialsSecretRef: Type.Optional(
      SecretRef(
        'Secret with creds (a .creds file), seed (of an NKey), token, or username and password. None when left out.',
      ),
    ),
    tls,
  },
  { description: 'Each message goes to a stream of NATS JetStream.' },
)

export const kafka = Block(
  {
    brokers: addresses('Brokers of one cluster to ask first; port 9092 unless said.'),
    topic: Text({
      description:
        'Kafka topic of the message; it must exist. {{ topic }} stands for the topic of the message, with dots for ' +
        'slashes and _ for what Kafka does not allow. The header Mqtt-Topic has the topic as it is.',
      minLength: 1,
      maxLength: 249,
      rules: [
        {
          rule: "self.matches(r'^([0-9A-Za-z._-]|\\{\\{ ?topic ?\\}\\})+$')",
          message: 'must be letters, digits, dots, _ and -, beside {{ topic }}',
        },
      ],
    }),
    key: Choice(['Topic', 'Device', 'None'], {
      default: 'Topic',
      description:
        'Key of the record, which decides about its partition. Topic keeps the messages of a topic in order, Device ' +
        'those of a device (or of a topic, where no device sent them); None spreads them.',
    }),
    acks: Choice(['All', 'Leader'], {
      default: 'All',
      description:
        'Who must have the record before it counts as delivered: all in-sync replicas, or the leader only.',
    }),
    compression: Choice(['None', 'Gzip', 'Snappy', 'LZ4', 'Zstd'], {
      default: 'None',
      description: 'How batches of records are compressed.',
    }),
    sasl: Type.Optional(
      Block(
        {
          mechanism: Choice(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'], {
            default: 'SCRAM-SHA-512',
            description: 'How the password is shown. PLAIN sends it as it is: use it over TLS only.',
          }),
          credentialsSecretRef: SecretRef('Secret with username and password (kubernetes.io/basic-auth).'),
        },
        { description: 'Who we are. Without it the connection is anonymous, or known by its certificate.' },
      ),
    ),
    tls,
  },
  { description: 'Each message becomes a record of a Kafka topic.' },
)

const NOT_OF_THE_HUB = {
  rule: "!self.startsWith('$')",
  message: 'must not begin with $: those topics belong to the hub',
}

/** Both promise at least once at most: what QoS 2 adds ends where a message changes hands. */
const bridgeQos = (description: string) => Whole({ default: 1, minimum: 0, maximum: 1, description })

export const mqtt = Block(
  {
    server: address(
      'Host name or address of the broker, and a port after a colon; 8883, or 1883 without TLS.',
    ),
    version: Choice(['MQTT5', 'MQTT311'], {
      default: 'MQTT5',
      description: 'Protocol version. Only MQTT5 carries id and trail of a message, which end loops.',
    }),
    clientId: Type.Optional(
      Text({
        description:
          'Client id of the connection that subscribes; those that publish add a random part. hublet-<uid of the ' +
          'route> when left out.',
        minLength: 1,
        maxLength: 64,
        pattern: '^[0-9A-Za-z._:-]+$',
      }),
    ),
    credentialsSecretRef: Type.Optional(
      SecretRef('Secret with username and password (kubernetes.io/basic-auth). None when left out.'),
    ),
    topic: Text({
      default: '{{ topic }}',
      description: 'Topic of the message there. {{ topic }} stands for its topic here.',
      minLength: 1,
      maxLength: 1024,
      rules: [
        {
          rule: "self.matches(r'^[^+#\\x00-\\x1f\\x7f-\\x9f]*$')",
          message: 'must hold no wildcard (+ or #) and no control character',
        },
      ],
    }),
    qos: bridgeQos('QoS of the messages there. With 0, delivered means sent.'),
    retain: Flag({
      default: true,
      description: 'Whether retained messages are retained on the other side too, in both directions.',
    }),
    subscribe: List(
      Block(
        {
          topic: Text({
            description: 'Topic filter on the other broker.',
            minLength: 1,
            maxLength: FILTER_MAX_LENGTH,
            rules: filterRules,
          }),
          prefix: Text({
            default: '',
            maxLength: 1024,
            description: 'Put before the topic of a message that comes in, with a slash between.',
            rules: [...prefixRules, NOT_OF_THE_HUB],
          }),
          qos: bridgeQos('Highest QoS of what comes in. With 1 nothing is lost while either side is away.'),
        },
        { description: 'Messages of the other broker that this hub is to have.' },
      ),
      {
        default: [],
        description: 'The way back: messages of the other broker are published in this hub.',
        maxItems: 16,
        mapKeys: ['topic'],
      },
    ),
    tls,
  },
  {
    description: 'Each message is published on another MQTT broker, and messages of that one may come back.',
  },
)
