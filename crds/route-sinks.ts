/** The destinations of a Route (spec §4.2–4.4, §6.2): one block each. */
import { Type } from 'typebox'
import { Block, Choice, exactlyOneOf, Flag, List, Text, Whole } from './fields.ts'
import { Duration, SecretKeyRef, SecretRef } from './shared-fields.ts'

// No user info: credentials belong in a Secret, and a spec is readable by many.
const HTTP_URL_PATTERN = '^https?://[^/?#@\\s]+([/?#]\\S*)?$'

const httpUrl = (description: string) =>
  Text({ description, minLength: 8, maxLength: 2048, sensitive: true, pattern: HTTP_URL_PATTERN })

const caSecretRef = Type.Optional(
  SecretKeyRef("CA certificates (PEM) to check the server with; the system's when left out.", 'ca.crt'),
)

export const s3 = Block(
  {
    endpoint: Type.Optional(httpUrl("URL of an S3-compatible service; AWS' for the region when left out.")),
    region: Text({ default: 'us-east-1', description: 'Region of the bucket.', minLength: 1, maxLength: 64 }),
    bucket: Text({
      description: 'The bucket; it must exist.',
      minLength: 3,
      maxLength: 63,
      pattern: '^[a-z0-9][a-z0-9.-]*[a-z0-9]$',
    }),
    prefix: Text({
      default: '',
      description: 'Begins every key; a slash is put between it and the topic.',
      maxLength: 512,
    }),
    strategy: Choice(['PerTopic', 'PerMessage', 'Batched'], {
      default: 'PerTopic',
      description:
        'PerTopic: <prefix>/<topic>, the last message wins. PerMessage: <prefix>/<topic>/<time of arrival>. ' +
        'Batched: <prefix>/<day>/<time>-<ids>.ndjson.gz, many messages as lines of JSON in one object.',
    }),
    batch: Block(
      {
        maxMessages: Whole({
          default: 1000,
          minimum: 1,
          maximum: 10_000,
          description: 'Messages in one object.',
        }),
        maxBytes: Whole({
          default: 4_194_304,
          minimum: 1024,
          maximum: 33_554_432,
          description:
            'Payload bytes in one object, before compression; a larger message is alone in its object.',
        }),
        maxAge: Duration({
          default: '10s',
          minimum: '100ms',
          maximum: '15m',
          description: 'How long a message waits for others to share its object.',
        }),
      },
      {
        default: {},
        description: 'When an object of the strategy Batched is complete: whichever comes first.',
      },
    ),
    forcePathStyle: Flag({
      default: false,
      description: 'Whether the bucket is in the path of the URL and not in the host name.',
    }),
    credentialsSecretRef: Type.Optional(
      SecretRef(
        'Secret with accessKeyId, secretAccessKey and optionally sessionToken. Anonymous when left out.',
      ),
    ),
    caSecretRef,
  },
  { description: 'Each message becomes an object in an S3 bucket, or a line of one.' },
)

export const database = Block(
  {
    engine: Choice(['PostgreSQL', 'MySQL'], { default: 'PostgreSQL', description: 'Kind of the database.' }),
    host: Text({
      description: 'Host name or address of the server.',
      minLength: 1,
      maxLength: 253,
      pattern: '^[0-9A-Za-z.:-]+$',
    }),
    port: Type.Optional(
      Whole({ minimum: 1, maximum: 65535, description: 'Port; 5432 or 3306 by engine when left out.' }),
    ),
    database: Text({ description: 'Name of the database.', minLength: 1, maxLength: 128 }),
    credentialsSecretRef: SecretRef('Secret with username and password (kubernetes.io/basic-auth).'),
    query: Text({
      description:
        'SQL run once per message. $TOPIC, $PAYLOAD, $TIME, $DEVICE, $QOS, $RETAIN and $ID are parameters of a ' +
        'prepared statement: never put them in quotes.',
      minLength: 1,
      maxLength: 16384,
      rules: [{ rule: "self.matches('\\\\S')", message: 'must not be blank' }],
    }),
    tls: Block(
      {
        mode: Choice(['VerifyFull', 'Require', 'Disable'], {
          default: 'VerifyFull',
          description: 'VerifyFull checks certificate and name, Require only encrypts, Disable does neither.',
        }),
        caSecretRef,
      },
      { default: {}, description: 'Encryption of the connection.' },
    ),
    poolSize: Whole({
      default: 4,
      minimum: 1,
      maximum: 64,
      description: 'Connections of one sidecar to the server.',
    }),
  },
  { description: 'Each message runs a query on a database.' },
)

const HEADER_NAME_PATTERN = "^[0-9A-Za-z!#$%&'*+.^_`|~-]+$"

const ownHeaderRule = {
  rule: "!self.matches('^(?i:host|content-length|transfer-encoding|connection|x-mqtt-topic|x-mqtt-retain)$')",
  message: 'this header is set by the route itself',
}

const header = Block(
  {
    name: Text({
      description: 'Name of the header.',
      minLength: 1,
      maxLength: 128,
      pattern: HEADER_NAME_PATTERN,
      rules: [ownHeaderRule],
    }),
    value: Type.Optional(
      Text({ description: 'The value.', maxLength: 4096, sensitive: true, pattern: '^[\\t\\x20-\\x7e]*$' }),
    ),
    secretKeyRef: Type.Optional(SecretKeyRef('A value that is secret.', 'value')),
  },
  { description: 'One header.', rules: [exactlyOneOf(['value', 'secretKeyRef'])] },
)

const cloudEvents = Block(
  {
    mode: Choice(['Binary', 'Structured'], {
      default: 'Binary',
      description:
        'Binary: the body is the payload, the rest is in headers ce-…. Structured: the body is a JSON object with both.',
    }),
    type: Text({
      default: 'dev.hublet.message',
      description: 'Attribute type: what kind of event it is.',
      minLength: 1,
      maxLength: 255,
      pattern: '^[!-~]+$',
    }),
    source: Type.Optional(
      Text({
        description: 'Attribute source, a URI reference; /hubs/<name of the hub> when left out.',
        minLength: 1,
        maxLength: 1024,
        pattern: '^[!-~]+$',
      }),
    ),
  },
  {
    description:
      'Requests are CloudEvents 1.0: id is the id of the message, subject its topic, time its arrival.',
  },
)

export const rest = Block(
  {
    method: Choice(['GET', 'POST', 'PUT', 'PATCH', 'DELETE'], {
      default: 'POST',
      description: 'Method of the request; the payload is its body.',
    }),
    url: httpUrl('http or https URL without user info.'),
    headers: List(header, {
      default: [],
      maxItems: 32,
      mapKeys: ['name'],
      description: 'Headers beside X-Mqtt-Topic and X-Mqtt-Retain, which every request carries.',
    }),
    publishReply: Flag({
      default: true,
      description:
        'Whether the body of a 2xx answer with the header X-Mqtt-Topic is published on that topic. Loops are ' +
        'yours to avoid.',
    }),
    signing: Type.Optional(
      Block(
        {
          secretKeyRef: SecretKeyRef('The secret that the receiver checks the signature with.', 'secret'),
          header: Text({
            default: 'X-Hublet-Signature',
            description:
              'Header of the signature: t=<unix seconds>,v1=<hex of HMAC-SHA256 over t.topic.body>.',
            minLength: 1,
            maxLength: 128,
            pattern: HEADER_NAME_PATTERN,
            rules: [ownHeaderRule],
          }),
        },
        { description: 'Proves to the receiver where a request comes from and that nobody changed it.' },
      ),
    ),
    cloudEvents: Type.Optional(cloudEvents),
    caSecretRef,
  },
  {
    description: 'Each message becomes an HTTP request.',
    rules: [
      {
        rule: "!has(self.cloudEvents) || self.method in ['POST', 'PUT', 'PATCH']",
        message: 'method must be POST, PUT or PATCH: a CloudEvent has a body',
        fieldPath: '.method',
      },
    ],
  },
)

export const ifttt = Block(
  {
    event: Text({
      description: 'Name of the Webhooks event.',
      minLength: 1,
      maxLength: 128,
      pattern: '^[0-9A-Za-z_-]+$',
    }),
    keySecretRef: SecretKeyRef('The Webhooks key.', 'key'),
    format: Choice(['Values', 'JSON'], {
      default: 'Values',
      description:
        'Values: value1 is the topic, value2 the payload as text, value3 the time. JSON: the payload itself, ' +
        'which must be JSON.',
    }),
    baseUrl: Text({
      default: 'https://maker.ifttt.com',
      description: 'Where the Webhooks service is.',
      minLength: 8,
      maxLength: 2048,
      sensitive: true,
      pattern: HTTP_URL_PATTERN,
    }),
  },
  { description: 'Each message triggers an IFTTT Webhooks event.' },
)
