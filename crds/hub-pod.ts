import { Type } from 'typebox'
import { Block, Choice, List, MapOf, Opaque, Text, Whole } from './fields.ts'
import { LISTENER_PORTS } from './hub-listeners.ts'
import { Cidr } from './shared-fields.ts'

const stringMap = (description: string) =>
  MapOf(Text({ description: 'The value.', maxLength: 4096 }), {
    description,
    maxProperties: 64,
    default: {},
  })

const quantities = (description: string) =>
  Type.Optional(
    MapOf(
      Text({
        description: 'A quantity such as 500m or 256Mi.',
        minLength: 1,
        maxLength: 32,
        pattern: '^[0-9]+(\\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$',
      }),
      { description, maxProperties: 8 },
    ),
  )

const resources = (container: string) =>
  Block(
    {
      requests: quantities('What is set aside, by resource name.'),
      limits: quantities('What it may use at most, by resource name.'),
    },
    { default: {}, description: `CPU and memory of the ${container} container.` },
  )

/** What users may add to the broker pods. The rest of the pod is ours: it is what keeps it restricted. */
export const hubPod = Block(
  {
    labels: stringMap('Labels beside our own.'),
    annotations: stringMap('Annotations beside our own.'),
    nodeSelector: stringMap('Labels that a node must have.'),
    tolerations: List(Opaque({ description: 'A toleration, as in a Pod.' }), {
      default: [],
      maxItems: 32,
      description: 'Taints of nodes that the pods accept.',
    }),
    affinity: Type.Optional(Opaque({ description: 'Affinity, as in a Pod.' })),
    priorityClassName: Type.Optional(
      Text({ description: 'Priority class of the pods.', minLength: 1, maxLength: 253 }),
    ),
    imagePullSecrets: List(
      Block(
        { name: Text({ description: 'Name of the Secret.', minLength: 1, maxLength: 253 }) },
        { description: 'A Secret with registry credentials.' },
      ),
      { default: [], maxItems: 8, mapKeys: ['name'], description: 'Secrets to pull the image with.' },
    ),
    resources: Block(
      { broker: resources('broker'), routes: resources('routes') },
      { default: {}, description: 'CPU and memory of the containers.' },
    ),
  },
  { default: {}, description: 'Additions to the broker pods.' },
)

const LISTENERS = Object.keys(LISTENER_PORTS) as (keyof typeof LISTENER_PORTS)[]
const nodePort = (listener: string) =>
  Type.Optional(Whole({ minimum: 1, maximum: 65535, description: `Of listener ${listener}.` }))
const asked = `[${LISTENERS.map((name) => `has(self.${name}) ? self.${name} : -1`).join(', ')}]`

const nodePorts = Type.Optional(
  Block(
    {
      mqtt: nodePort('mqtt'),
      mqtts: nodePort('mqtts'),
      ws: nodePort('ws'),
      wss: nodePort('wss'),
      http: nodePort('http'),
      https: nodePort('https'),
    },
    {
      description:
        'Ports of the nodes, with type NodePort or LoadBalancer, out of the range of the cluster (commonly 30000 to ' +
        '32767). Kubernetes chooses those that are left out.',
      rules: [
        {
          rule: `${asked}.all(p, p < 0 || ${asked}.exists_one(q, q == p))`,
          message: 'two listeners cannot share a node port',
        },
      ],
    },
  ),
)

/** The Service in front of the broker pods. */
export const hubService = Block(
  {
    type: Choice(['ClusterIP', 'NodePort', 'LoadBalancer'], {
      default: 'ClusterIP',
      description: 'How the hub is reached, as in a Service.',
    }),
    annotations: stringMap('Annotations of the Service, such as those for a load balancer.'),
    loadBalancerClass: Type.Optional(
      Text({ description: 'Load balancer class, as in a Service.', minLength: 1, maxLength: 253 }),
    ),
    externalTrafficPolicy: Choice(['Cluster', 'Local'], {
      default: 'Cluster',
      description: "Local keeps the clients' addresses, as in a Service.",
    }),
    loadBalancerSourceRanges: List(Cidr('A range such as 198.51.100.0/24.'), {
      default: [],
      maxItems: 64,
      set: true,
      description: 'Ranges that the load balancer lets in, as in a Service; all when empty.',
    }),
    ipFamilyPolicy: Choice(['SingleStack', 'PreferDualStack', 'RequireDualStack'], {
      default: 'SingleStack',
      description: 'IPv4, IPv6 or both, as in a Service.',
    }),
    nodePorts,
  },
  {
    default: {},
    description: 'The Service in front of the broker pods. Unused in hublet dev.',
    rules: [
      {
        rule: "self.type != 'ClusterIP' || !has(self.nodePorts)",
        message: 'nodePorts can only be set with type NodePort or LoadBalancer',
        fieldPath: '.nodePorts',
      },
    ],
  },
)

/** Load balancers in front of the hub that say whose connection they pass on. */
export const hubProxyProtocol = Block(
  {
    trustedRanges: List(Cidr('A range such as 198.51.100.0/24.'), {
      minItems: 1,
      maxItems: 64,
      set: true,
      description:
        'Addresses of the load balancers as the broker pods see them. Connections from there must begin with a ' +
        'header, version 1 or 2; those from elsewhere must not.',
    }),
  },
  {
    description:
      'PROXY protocol on all listeners: addresses in events and limits are then those of the clients behind load balancers.',
  },
)
