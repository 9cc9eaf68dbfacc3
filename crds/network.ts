import type { Static } from 'typebox'
import { Type } from 'typebox'
import { Block, Choice, List, MapOf, Text } from './fields.ts'
import type { KindDefinition, Resource } from './meta.ts'
import {
  DNS_NAME_PATTERN,
  Endpoint,
  lastColumns,
  objectNameRule,
  readyColumns,
  SUBDOMAIN_PATTERN,
  statusBase,
} from './meta.ts'
import { hubRef, SecretKeyRef } from './shared-fields.ts'
import { prefixRules } from './topics.ts'

const dnsName = (description: string) =>
  Text({
    description,
    minLength: 1,
    maxLength: 253,
    pattern: DNS_NAME_PATTERN,
  })

const exposure = Block(
  {
    type: Choice(['Hub', 'ClusterIP', 'NodePort', 'LoadBalancer', 'Gateway'], {
      default: 'Hub',
      description:
        "Hub: the hub's own Service is enough. ClusterIP, NodePort, LoadBalancer: a Service of its own. " +
        'Gateway: a route of the Gateway API.',
    }),
    annotations: MapOf(Text({ description: 'Value of the annotation.', maxLength: 4096 }), {
      default: {},
      maxProperties: 64,
      description: 'Annotations of the Service or route.',
    }),
    gatewayRef: Type.Optional(
      Block(
        {
          name: Text({
            description: 'Name of the Gateway, in the namespace of this object.',
            minLength: 1,
            maxLength: 253,
            pattern: SUBDOMAIN_PATTERN,
          }),
          sectionName: Type.Optional(
            Text({
              description: 'Listener of the Gateway; any when left out.',
              minLength: 1,
              maxLength: 253,
            }),
          ),
          route: Choice(['TLSRoute', 'HTTPRoute'], {
            default: 'TLSRoute',
            description:
              "TLSRoute: TLS passes through to the hub. HTTPRoute: it ends at the Gateway, which goes on to the hub's " +
              'listener http or ws, not encrypted.',
          }),
        },
        { description: 'The Gateway, with type Gateway.' },
      ),
    ),
    hostnames: List(dnsName('A DNS name, or a wildcard such as *.example.com.'), {
      default: [],
      maxItems: 16,
      description: 'Host names of the route, with type Gateway.',
    }),
  },
  {
    default: {},
    description: 'How the network is reached from outside. Unused in hublet dev.',
  },
)

export const NetworkSpec = Block(
  {
    hubRef,
    type: Choice(['MQTT', 'WebSocket', 'REST', 'Sigfox'], {
      description:
        'MQTT and WebSocket: a further way in to what every hub has, devices identify themselves. REST and ' +
        'Sigfox: HTTP requests with a token, no device is looked at. Cannot be changed.',
      rules: [{ rule: 'self == oldSelf', message: 'type cannot be changed: create another Network' }],
    }),
    topicPrefix: Text({
      default: '',
      maxLength: 1024,
      description:
        'Put before every topic that comes in, with a slash between. Empty: the whole topic space.',
      rules: [
        ...prefixRules,
        { rule: "!self.startsWith('$')", message: 'must not begin with $: those topics belong to the hub' },
      ],
    }),
    tokenSecretRef: Type.Optional(
      SecretKeyRef(
        'A token of your own for REST and Sigfox. Left out: one is made and put into network-<network>-token.',
        'token',
      ),
    ),
    exposure,
  },
  {
    description: 'What the network should be.',
    rules: [
      {
        rule: "(self.exposure.type == 'Gateway') == has(self.exposure.gatewayRef)",
        message: 'gatewayRef must be set with type Gateway, and only then',
        fieldPath: '.exposure.gatewayRef',
      },
      {
        rule: "self.exposure.type == 'Gateway' || self.exposure.hostnames.size() == 0",
        message: 'hostnames can only be set with type Gateway',
        fieldPath: '.exposure.hostnames',
      },
      {
        rule: "self.type != 'MQTT' || !has(self.exposure.gatewayRef) || self.exposure.gatewayRef.route == 'TLSRoute'",
        message: 'MQTT is no HTTP: route must be TLSRoute',
        fieldPath: '.exposure.gatewayRef.route',
      },
      {
        rule: "self.type in ['REST', 'Sigfox'] || self.topicPrefix == ''",
        message: 'topicPrefix can only be set with type REST or Sigfox',
        fieldPath: '.topicPrefix',
      },
      {
        rule: "self.type in ['REST', 'Sigfox'] || !has(self.tokenSecretRef)",
        message: 'tokenSecretRef can only be set with type REST or Sigfox',
        fieldPath: '.tokenSecretRef',
      },
    ],
  },
)
export type NetworkSpec = Static<typeof NetworkSpec>

export const NetworkStatus = Block(
  {
    ...statusBase,
    endpoints: Type.Optional(List(Endpoint, { description: 'Where clients send to.', maxItems: 32 })),
    tokenSecretName: Type.Optional(Text({ description: 'The Secret that holds the token.', maxLength: 253 })),
  },
  { description: 'What was seen of the network; written by the operator.' },
)
export type NetworkStatus = Static<typeof NetworkStatus>
export type Network = Resource<'Network', NetworkSpec, NetworkStatus>

export const networkKind: KindDefinition = {
  kind: 'Network',
  plural: 'networks',
  singular: 'network',
  shortNames: ['iotnet'],
  description:
    'A further way into a hub: HTTP with a token (REST, Sigfox), or an endpoint for MQTT or WebSocket.',
  spec: NetworkSpec,
  status: NetworkStatus,
  rules: [objectNameRule],
  columns: [
    { name: 'Hub', type: 'string', jsonPath: '.spec.hubRef.name', description: 'The hub of the network.' },
    { name: 'Type', type: 'string', jsonPath: '.spec.type', description: 'What the network speaks.' },
    ...readyColumns,
    { name: 'Prefix', type: 'string', jsonPath: '.spec.topicPrefix', description: 'Put before every topic.' },
    {
      name: 'Endpoint',
      type: 'string',
      jsonPath: '.status.endpoints[0].url',
      description: 'The first endpoint.',
    },
    ...lastColumns,
  ],
}

/** Reasons of a Network's conditions, beside `COMMON_REASONS`. */
export const NETWORK_REASONS = {
  /** The hub's listener that the network needs is closed. */
  ListenerClosed: 'ListenerClosed',
  /** The token of a REST or Sigfox network is not known yet: requests are refused. */
  TokenMissing: 'TokenMissing',
  /** The token is too short to be safe. */
  TokenTooWeak: 'TokenTooWeak',
  /** The Gateway API is not installed, or the Gateway refuses the route. */
  GatewayNotAccepted: 'GatewayNotAccepted',
} as const
