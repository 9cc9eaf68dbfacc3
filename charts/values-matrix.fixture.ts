/** Values that people come with, each by what they want. Every one is rendered and shown to an API server. */

/** `b` stands for a second namespace. */
export const VALUES: Readonly<Record<string, (b: string) => object>> = {
  'nothing set': () => ({}),
  'two replicas': () => ({ replicas: 2 }),
  'no replica, for a pause': () => ({ replicas: 0 }),
  'another namespace': (b) => ({ watch: { namespaces: [b] } }),
  'two namespaces': (b) => ({ watch: { namespaces: [b, 'default'] } }),
  'all namespaces': () => ({ watch: { allNamespaces: true } }),
  'all namespaces, working in two': (b) => ({ watch: { allNamespaces: true, namespaces: [b, 'default'] } }),
  'an image by tag': () => ({
    image: { repository: 'cr.example/iot/hublet', tag: 'v2', pullPolicy: 'Always' },
  }),
  'an image by digest': () => ({
    image: { digest: `sha256:${'0f'.repeat(32)}`, pullPolicy: 'IfNotPresent' },
  }),
  'an image that needs a password': () => ({ imagePullSecrets: [{ name: 'pull' }] }),
  'a Redis for all hubs': () => ({ defaultRedisSecret: 'redis', redisImage: 'cr.example/valkey:8.1' }),
  'other log levels': () => ({ logLevel: 'debug', brokerLogLevel: 'warn' }),
  'other times of the lease': () => ({
    leaderElection: { leaseSeconds: 60, renewSeconds: 40, retrySeconds: 5 },
  }),
  'more work at a time': () => ({ concurrency: { hubs: 64, devices: 256, members: 64 } }),
  'an account of their own': () => ({ serviceAccount: { create: false, name: 'mine' } }),
  'an account with annotations': () => ({
    serviceAccount: { name: 'operator', annotations: { 'example.com/role': 'arn:x' } },
  }),
  'rights that somebody else grants': () => ({ rbac: { create: false, userRoles: false } }),
  'no rights for people': () => ({ rbac: { userRoles: false } }),
  PodMonitors: () => ({
    metrics: { podMonitor: { enabled: true, interval: '1m', labels: { release: 'prometheus' } } },
  }),
  'PodMonitors over all namespaces': () => ({
    metrics: { podMonitor: { enabled: true } },
    watch: { allNamespaces: true },
  }),
  'a PodMonitor of the operator only': () => ({ metrics: { podMonitor: { enabled: true, brokers: false } } }),
  'ServiceMonitors for hubs in two namespaces': (b) => ({
    metrics: { serviceMonitor: { enabled: true, interval: '1m', labels: { release: 'prometheus' } } },
    watch: { namespaces: [b, 'default'] },
    commonLabels: { team: 'iot' },
  }),
  'a ServiceMonitor of the operator only': () => ({
    metrics: { serviceMonitor: { enabled: true, brokers: false } },
  }),
  'alerts and a dashboard': () => ({
    metrics: { rules: { enabled: true, labels: { release: 'prometheus' } }, dashboard: { enabled: true } },
  }),
  'a dashboard that another Grafana finds': () => ({
    fullnameOverride: 'iot-operator',
    metrics: { rules: { enabled: true }, dashboard: { enabled: true, labels: { dashboards: 'iot' } } },
  }),
  'no metrics Service': () => ({ metrics: { service: false } }),
  'metrics for Prometheus only': () => ({
    networkPolicy: {
      metricsFrom: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'monitoring' } } }],
    },
  }),
  'no guards': () => ({ networkPolicy: { enabled: false }, podDisruptionBudget: false }),
  'more memory': () => ({
    resources: {
      requests: { cpu: 1, memory: '1Gi' },
      limits: { memory: '1.5Gi', 'ephemeral-storage': '1Gi' },
    },
    nodeOptions: '--max-old-space-size=1000',
  }),
  'a proxy': () => ({ extraEnv: [{ name: 'HTTPS_PROXY', value: 'http://proxy.example:3128' }] }),
  'certain nodes': () => ({
    nodeSelector: { 'kubernetes.io/arch': 'arm64', pool: 'system' },
    tolerations: [{ key: 'system', operator: 'Exists', effect: 'NoSchedule' }],
    priorityClassName: 'system-cluster-critical',
    topologySpreadConstraints: [
      {
        maxSkew: 2,
        topologyKey: 'kubernetes.io/hostname',
        whenUnsatisfiable: 'ScheduleAnyway',
        labelSelector: { matchLabels: { 'app.kubernetes.io/component': 'operator' } },
      },
    ],
    affinity: {
      podAntiAffinity: {
        preferredDuringSchedulingIgnoredDuringExecution: [
          {
            weight: 1,
            podAffinityTerm: {
              topologyKey: 'kubernetes.io/hostname',
              labelSelector: { matchLabels: { 'app.kubernetes.io/component': 'operator' } },
            },
          },
        ],
      },
    },
  }),
  'labels, some of which are ours': () => ({
    commonLabels: { team: 'iot', 'app.kubernetes.io/name': 'theirs' },
    podLabels: { tier: 'control', 'app.kubernetes.io/component': 'theirs' },
    podAnnotations: { 'example.com/inject': 'false' },
  }),
  'a name of their own': () => ({ fullnameOverride: 'iot-operator', clusterDomain: 'cluster.example' }),
  'a chart that contains this one': () => ({ global: { team: 'iot' } }),
}

export const RELEASES = ['hublet', 'my-hublet', 'iot', '7.iot', `${'x'.repeat(52)}y`]
