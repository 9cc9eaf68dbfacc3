/** Values that the schema of the chart has to refuse. */
export const WRONG_VALUES: Readonly<Record<string, object>> = {
  'a value that the chart does not know': { replica: 2 },
  'a value that a block does not know': { image: { repo: 'x' } },
  'a block in place of a number': { replicas: { count: 2 } },
  'a number as text': { replicas: '2' },
  'a negative number of replicas': { replicas: -1 },
  'more replicas than stand by usefully': { replicas: 6 },
  'alerts in place of their switch': { metrics: { rules: true } },
  'a label of alerts that is a number': { metrics: { rules: { labels: { release: 1 } } } },
  'a dashboard in a folder of ours': { metrics: { dashboard: { folder: 'iot' } } },
  'half a replica': { replicas: 1.5 },
  'a repository with a tag of capitals': { image: { repository: 'Registry/hublet' } },
  'an empty repository': { image: { repository: '' } },
  'a tag with a space': { image: { tag: 'one two' } },
  'a digest that is too short': { image: { digest: 'sha256:abc' } },
  'an unknown pull policy': { image: { pullPolicy: 'Sometimes' } },
  'a Redis image with a space': { redisImage: 'valkey 8' },
  'a Secret with capitals': { defaultRedisSecret: 'MySecret' },
  'namespaces as text': { watch: { namespaces: 'a,b' } },
  'a namespace with a dot': { watch: { namespaces: ['a.b'] } },
  'a namespace twice': { watch: { namespaces: ['a', 'a'] } },
  'yes as text for all namespaces': { watch: { allNamespaces: 'yes' } },
  'an unknown log level': { logLevel: 'loud' },
  'an unknown log level for brokers': { brokerLogLevel: 'quiet' },
  'a cluster domain that ends with a dot': { clusterDomain: 'cluster.local.' },
  'a lease of a second': { leaderElection: { leaseSeconds: 1 } },
  'no devices in work': { concurrency: { devices: 0 } },
  'more hubs in work than allowed': { concurrency: { hubs: 65 } },
  'a label with a bad value': { commonLabels: { team: 'a b' } },
  'a label with a bad name': { podLabels: { 'a/b/c': 'x' } },
  'a label that is a number': { nodeSelector: { disk: 1 } },
  'an annotation that is no text': { podAnnotations: { a: true } },
  'memory in an unknown unit': { resources: { limits: { memory: '512MB' } } },
  'an interval without a unit': { metrics: { podMonitor: { interval: '30' } } },
  'tolerations that are no list': { tolerations: { key: 'a' } },
  'an environment variable that is no object': { extraEnv: ['A=B'] },
  'a name with a dot': { fullnameOverride: 'a.b' },
}

/** Values that the templates have to refuse, and what is said. */
export const REFUSED_VALUES: Readonly<Record<string, { values: object; message: string }>> = {
  'a lease no longer than its renewal': {
    values: { leaderElection: { leaseSeconds: 10 } },
    message: 'leaderElection.leaseSeconds: expected more than renewSeconds (10), got 10',
  },
  'a renewal with room for one try only': {
    values: { leaderElection: { retrySeconds: 6 } },
    message: 'leaderElection.renewSeconds: expected at least twice retrySeconds (6), got 10',
  },
  'a ServiceMonitor without a Service': {
    values: { metrics: { service: false, serviceMonitor: { enabled: true } } },
    message: 'metrics.service: expected true with metrics.serviceMonitor.enabled, got false',
  },
  'no account at all': {
    values: { serviceAccount: { create: false } },
    message: 'serviceAccount.name: expected a name when serviceAccount.create is false, got nothing',
  },
}
