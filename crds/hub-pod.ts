import { Type } from 'typebox'
import { Block, Choice, List, MapOf, Opaque, Text } from './fields.ts'

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
  },
  { default: {}, description: 'The Service in front of the broker pods. Unused in hublet dev.' },
)
