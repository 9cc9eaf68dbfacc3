import type { BuildSettings } from './object.ts'

export const SETTINGS: BuildSettings = {
  image: 'registry.example/hublet:1',
  redisImage: 'registry.example/valkey:8',
  clusterDomain: 'cluster.local',
  operatorNamespace: 'hublet-system',
  routesAllowPrivate: false,
  logLevel: 'info',
}
