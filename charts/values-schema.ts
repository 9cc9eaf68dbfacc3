/**
 * Every value of the chart `hublet`, once: `values.schema.json` and `values.yaml` are generated from here, and the
 * table of the chart's README.
 */
import { Type } from 'typebox'
import { SUBDOMAIN_PATTERN } from '../crds/meta.ts'

interface TextOptions {
  description: string
  default?: string
  pattern?: string
  maxLength?: number
}

type WholeOptions = {
  description: string
  default: number
  minimum: number
  maximum: number
}

const LABEL_VALUE = '^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$'
const LABEL_NAME = '^([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$'
const NAMESPACE = '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'
const QUANTITY = '^[0-9]+([.][0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$'
/** May be empty: then the chart chooses. */
const optional = (pattern: string) => `^$|${pattern}`

const Text = (options: TextOptions) => Type.String({ default: '', maxLength: 253, ...options })
const Choice = (values: readonly string[], options: { description: string; default: string }) =>
  Type.Unsafe<string>({ type: 'string', enum: [...values], ...options })
const Whole = (options: WholeOptions) => Type.Integer(options)
const Flag = (options: { description: string; default: boolean }) => Type.Boolean(options)

/** What Kubernetes itself checks when it is applied; here only its kind is. */
const Free = (type: 'object' | 'array', description: string) =>
  Type.Unsafe<object>(
    type === 'array'
      ? { type, items: { type: 'object' }, maxItems: 64, default: [], description }
      : { type, default: {}, description },
  )

const Texts = (options: { description: string; pattern: string; maxItems: number }) =>
  Type.Array(Type.String({ pattern: options.pattern }), {
    description: options.description,
    maxItems: options.maxItems,
    uniqueItems: true,
    default: [],
  })

const Labels = (description: string, labels: Readonly<Record<string, string>> = {}) =>
  Type.Unsafe<Record<string, string>>({
    type: 'object',
    propertyNames: { pattern: LABEL_NAME },
    additionalProperties: { type: 'string', maxLength: 63, pattern: LABEL_VALUE },
    default: labels,
    description,
  })

const Annotations = (description: string) =>
  Type.Unsafe<Record<string, string>>({
    type: 'object',
    propertyNames: { pattern: LABEL_NAME },
    additionalProperties: { type: 'string' },
    default: {},
    description,
  })

type Fields = Parameters<typeof Type.Object>[0]
/** A misspelt value is refused: it would silently do nothing. */
const Block = (description: string, fields: Fields) => {
  const optionalFields = Object.fromEntries(
    Object.entries(fields).map(([name, field]) => [name, Type.Optional(field)]),
  )
  return Type.Object(optionalFields, { additionalProperties: false, description })
}

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']

const Amounts = (description: string, amounts: { cpu?: string; memory?: string }) =>
  Type.Unsafe<object>({
    type: 'object',
    additionalProperties: {
      anyOf: [
        { type: 'string', pattern: QUANTITY },
        { type: 'number', minimum: 0 },
      ],
    },
    default: amounts,
    description,
  })

const image = Block('The image of operator, brokers and routes: one for all three.', {
  repository: Text({
    default: 'localhost/hublet',
    pattern: '^[a-z0-9]([a-z0-9._:/-]*[a-z0-9])?$',
    description: 'Without tag. The default is what `make image` calls it: nothing is published yet.',
  }),
  tag: Text({
    pattern: optional('^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$'),
    description: "The chart's appVersion when empty.",
  }),
  digest: Text({
    pattern: optional('^sha256:[0-9a-f]{64}$'),
    description: '`sha256:…`; wins over the tag.',
  }),
  pullPolicy: Choice(['', 'Always', 'IfNotPresent', 'Never'], {
    default: '',
    description: 'For the operator and the pods of hubs; Kubernetes decides when empty.',
  }),
})

const watch = Block('Where hubs may be.', {
  namespaces: Texts({
    pattern: NAMESPACE,
    maxItems: 256,
    description:
      'Namespaces, which have to be there; the one of the release when empty. Each gets a RoleBinding.',
  }),
  allNamespaces: Flag({
    default: false,
    description:
      'Sees hubs in all namespaces, by a ClusterRole; Secrets are still reached in `namespaces` only, and where you bind ClusterRole `hublet-workloads`. One such release a cluster.',
  }),
})

const leaderElection = Block('One replica writes; the others stand by.', {
  leaseSeconds: Whole({
    default: 15,
    minimum: 3,
    maximum: 3600,
    description: 'How long a silent leader is respected; more than `renewSeconds`.',
  }),
  renewSeconds: Whole({
    default: 10,
    minimum: 2,
    maximum: 3600,
    description: 'How long a leader writes without a renewal; at least twice `retrySeconds`.',
  }),
  retrySeconds: Whole({ default: 2, minimum: 1, maximum: 1800, description: 'Between renewals.' }),
})

const concurrency = Block('How many objects are in work at a time.', {
  hubs: Whole({ default: 4, minimum: 1, maximum: 64, description: 'Hubs.' }),
  devices: Whole({ default: 16, minimum: 1, maximum: 256, description: 'Devices.' }),
  members: Whole({ default: 4, minimum: 1, maximum: 64, description: 'Networks and routes.' }),
})

const serviceAccount = Block('The account of the operator.', {
  create: Flag({ default: true, description: 'Off: you make it, by the name below.' }),
  name: Text({
    pattern: optional(SUBDOMAIN_PATTERN),
    description: 'The name of the release when empty.',
  }),
  annotations: Annotations('Annotations of it.'),
})

const metrics = Block('Prometheus metrics of the operator, on port 9090.', {
  service: Flag({ default: true, description: 'A Service `…-metrics` in front of them.' }),
  podMonitor: Block('A PodMonitor of the Prometheus operator, whose kinds have to be installed.', {
    enabled: Flag({ default: false, description: 'Makes one for the operator.' }),
    brokers: Flag({
      default: true,
      description: 'And one for the broker pods of the watched namespaces, when the one above is enabled.',
    }),
    interval: Text({
      default: '30s',
      pattern: '^[1-9][0-9]{0,4}(s|m)$',
      description: 'Between two scrapes.',
    }),
    labels: Labels('Labels that your Prometheus selects PodMonitors by.'),
  }),
  serviceMonitor: Block('ServiceMonitors, where yours looks at Services only; in place of PodMonitors.', {
    enabled: Flag({ default: false, description: 'Makes one for the operator.' }),
    brokers: Flag({
      default: true,
      description:
        'And one for the broker pods, with a Service for it in each of `watch.namespaces`, when the one above is enabled.',
    }),
    interval: Text({
      default: '30s',
      pattern: '^[1-9][0-9]{0,4}(s|m)$',
      description: 'Between two scrapes.',
    }),
    labels: Labels('Labels that your Prometheus selects ServiceMonitors by.'),
  }),
  rules: Block('Alerts, as a PrometheusRule of the Prometheus operator.', {
    enabled: Flag({ default: false, description: 'Makes it; its kind has to be installed.' }),
    labels: Labels('Labels that your Prometheus selects rules by.'),
  }),
  dashboard: Block('A dashboard for Grafana, as a ConfigMap that its sidecar finds.', {
    enabled: Flag({ default: false, description: 'Makes it.' }),
    labels: Labels('Labels that the sidecar of Grafana selects ConfigMaps by.', { grafana_dashboard: '1' }),
  }),
})

const networkPolicy = Block('What may reach the operator, and what it may reach.', {
  enabled: Flag({ default: true, description: 'Metrics and probes in; outwards no link-local address.' }),
  metricsFrom: Free(
    'array',
    'Peers (NetworkPolicyPeer) that may read metrics; all pods of the cluster when empty.',
  ),
})

/** The whole of `values.yaml`. */
export const VALUES_SCHEMA = Block('Values of the chart hublet.', {
  fullnameOverride: Text({
    maxLength: 40,
    // That of a Service, the strictest there is.
    pattern: optional('^[a-z]([-a-z0-9]*[a-z0-9])?$'),
    description: 'Name of all objects; from release and chart when empty.',
  }),
  commonLabels: Labels('Labels of all objects of the chart.'),
  image,
  imagePullSecrets: Free('array', 'Secrets (`name`) to pull the operator with; hubs have `spec.pod`.'),
  redisImage: Text({
    default: 'docker.io/valkey/valkey:8.1',
    maxLength: 1024,
    pattern: '^\\S+$',
    description: 'Of managed Redis: Redis or Valkey, 7.0 or later.',
  }),
  defaultRedisSecret: Text({
    pattern: optional(SUBDOMAIN_PATTERN),
    description:
      'A Secret in the namespace of the release (`url`, `username`, `password`, `ca.crt`): the Redis of hubs that name none.',
  }),
  replicas: Whole({
    default: 1,
    minimum: 0,
    maximum: 5,
    description: 'Two bridge the loss of a node sooner.',
  }),
  watch,
  logLevel: Choice(LOG_LEVELS, { default: 'info', description: 'Of the operator.' }),
  brokerLogLevel: Choice(LOG_LEVELS, { default: 'info', description: 'Of the pods of hubs.' }),
  routesAllowPrivate: Flag({
    default: false,
    description:
      'Whether routes may connect to private address ranges: databases and Services of the cluster, and whatever else is there. Who may write Routes can then reach it.',
  }),
  clusterDomain: Text({
    default: 'cluster.local',
    pattern: SUBDOMAIN_PATTERN,
    description: 'DNS domain of the cluster.',
  }),
  leaderElection,
  concurrency,
  serviceAccount,
  rbac: Block('Rights.', {
    create: Flag({ default: true, description: 'Off: you grant the operator what deploy/rbac.yaml has.' }),
    userRoles: Flag({
      default: true,
      description: 'Lets the roles view, edit and admin of Kubernetes reach our kinds, by two ClusterRoles.',
    }),
  }),
  metrics,
  networkPolicy,
  podDisruptionBudget: Flag({
    default: true,
    description: 'One replica at a time is taken away on purpose.',
  }),
  resources: Block('Of the operator.', {
    requests: Amounts('Set aside.', { cpu: '50m', memory: '160Mi' }),
    limits: Amounts('No CPU limit: it would only slow the start.', { memory: '512Mi' }),
  }),
  nodeOptions: Text({
    default: '--max-old-space-size=200 --max-semi-space-size=8',
    maxLength: 1024,
    description: 'NODE_OPTIONS of the operator; raise the heap, in MiB, with the memory limit.',
  }),
  extraEnv: Free('array', 'More environment variables (EnvVar) of the operator.'),
  podAnnotations: Annotations('Of the pods of the operator.'),
  podLabels: Labels('Of the pods of the operator.'),
  priorityClassName: Text({
    pattern: optional(SUBDOMAIN_PATTERN),
    description: 'PriorityClass of the operator; the default one when empty.',
  }),
  nodeSelector: Labels('Nodes for the operator.'),
  tolerations: Free('array', 'Tolerations of the operator.'),
  affinity: Free('object', 'Affinity of the operator.'),
  topologySpreadConstraints: Free(
    'array',
    'Of the operator; over nodes and zones, where it can be, when empty.',
  ),
  global: Free('object', 'Helm hands it to charts that stand inside another; nothing here reads it.'),
})
