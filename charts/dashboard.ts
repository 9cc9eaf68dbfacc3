/** The Grafana dashboard of the chart, as plain JSON: `files/dashboard.json` is generated from here. */

interface Query {
  expr: string
  legend: string
}

interface Panel {
  title: string
  unit: string
  queries: readonly Query[]
}

/** Of the hubs that are chosen at the top of the page. */
const HUBS = 'namespace=~"$namespace", hub=~"$hub"'
const rate = (metric: string, by = 'hub') =>
  `sum by (namespace, ${by}) (rate(${metric}{${HUBS}}[$__rate_interval]))`
const sum = (metric: string, by = 'hub') => `sum by (namespace, ${by}) (${metric}{${HUBS}})`
const ofHub = (expr: string, what = ''): Query => ({ expr, legend: `{{namespace}}/{{hub}}${what}` })
const ofRoute = (expr: string, what = ''): Query => ({ expr, legend: `{{namespace}}/{{route}}${what}` })

export const PANELS: readonly Panel[] = [
  { title: 'Connections', unit: 'short', queries: [ofHub(sum('hublet_connections'))] },
  {
    title: 'CONNECTs a second',
    unit: 'ops',
    queries: [
      ofHub(rate('hublet_connects_accepted_total'), ' let in'),
      ofHub(rate('hublet_connects_refused_total'), ' refused'),
    ],
  },
  {
    title: 'Messages a second',
    unit: 'ops',
    queries: [
      ofHub(rate('hublet_messages_received_total'), ' in'),
      ofHub(rate('hublet_messages_delivered_total'), ' out'),
      ofHub(rate('hublet_network_requests_total'), ' by token networks'),
    ],
  },
  {
    title: 'Messages refused and lost a second',
    unit: 'ops',
    queries: [
      ofHub(rate('hublet_messages_refused_total'), ' refused by a rule'),
      ofHub(rate('hublet_messages_dropped_slow_total'), ' subscriber too slow'),
      ofHub(rate('hublet_messages_dropped_queue_total'), ' queue full'),
      ofHub(rate('hublet_messages_dropped_route_total'), ' buffer of a route full'),
    ],
  },
  { title: 'Sessions', unit: 'short', queries: [ofHub(sum('hublet_sessions'))] },
  {
    title: 'Retained messages',
    unit: 'bytes',
    queries: [ofHub(sum('hublet_retained_bytes'))],
  },
  {
    title: 'Redis, and faults of the store',
    unit: 'short',
    queries: [
      {
        expr: 'min by (namespace, pod, part) (hublet_redis_up{namespace=~"$namespace"})',
        legend: '{{pod}} {{part}} in touch',
      },
      ofHub(rate('hublet_store_faults_total'), ' faults a second'),
    ],
  },
  {
    title: 'Routes: messages that wait',
    unit: 'short',
    queries: [ofRoute('sum by (namespace, route) (hublet_route_lag_messages{namespace=~"$namespace"})')],
  },
  {
    title: 'Routes: deliveries a second',
    unit: 'ops',
    queries: ['delivered', 'failed', 'dead_lettered', 'dropped'].map((what) =>
      ofRoute(
        `sum by (namespace, route) (rate(hublet_route_${what}_total{namespace=~"$namespace"}[$__rate_interval]))`,
        ` ${what.replace('_', ' ')}`,
      ),
    ),
  },
  {
    title: 'Operator: reconciles that failed a second',
    unit: 'ops',
    queries: [
      {
        expr: 'sum by (controller) (rate(controller_runtime_reconcile_errors_total{controller=~"hub|device|network|route"}[$__rate_interval]))',
        legend: '{{controller}}',
      },
    ],
  },
]

const DATASOURCE = { type: 'prometheus', uid: `$\{datasource}` } as const
const variable = (name: string, query: string) => ({
  name,
  type: 'query',
  datasource: DATASOURCE,
  query,
  refresh: 2,
  includeAll: true,
  multi: true,
  current: { text: 'All', value: '$__all' },
})

const HEIGHT = 8
const WIDTH = 12

const panel = ({ title, unit, queries }: Panel, index: number) => ({
  id: index + 1,
  title,
  type: 'timeseries',
  datasource: DATASOURCE,
  gridPos: { h: HEIGHT, w: WIDTH, x: (index % 2) * WIDTH, y: Math.floor(index / 2) * HEIGHT },
  fieldConfig: { defaults: { unit, min: 0 }, overrides: [] },
  targets: queries.map(({ expr, legend }, at) => ({
    refId: String.fromCharCode('A'.charCodeAt(0) + at),
    datasource: DATASOURCE,
    expr,
    legendFormat: legend,
  })),
})

export const dashboardJson = (): string => {
  const dashboard = {
    uid: 'hublet',
    title: 'Hublet',
    tags: ['hublet', 'mqtt'],
    schemaVersion: 39,
    refresh: '30s',
    time: { from: 'now-3h', to: 'now' },
    templating: {
      list: [
        { name: 'datasource', type: 'datasource', query: 'prometheus' },
        variable('namespace', 'label_values(hublet_connections, namespace)'),
        variable('hub', 'label_values(hublet_connections{namespace=~"$namespace"}, hub)'),
      ],
    },
    panels: PANELS.map(panel),
  }
  return `${JSON.stringify(dashboard, undefined, 2)}\n`
}
