import { type InvalidObject, network, object } from './object.fixture.ts'

export const INVALID_NETWORKS: readonly InvalidObject[] = [
  {
    title: 'a network without a type',
    manifest: object('Network', 'web', { hubRef: { name: 'home' } }),
    field: 'spec.type',
    message: 'Required value',
  },
  {
    title: 'a type of network that does not exist',
    manifest: network({ type: 'LoRaWAN' }),
    field: 'spec.type',
    message: 'supported values: "MQTT", "WebSocket", "REST", "Sigfox"',
  },
  {
    title: 'another type of network',
    manifest: network({ type: 'Sigfox' }),
    oldManifest: network(),
    field: 'spec.type',
    message: 'type cannot be changed',
  },
  {
    title: 'a prefix with a slash at its end',
    manifest: network({ topicPrefix: 'myapp/' }),
    field: 'spec.topicPrefix',
    message: 'must not begin or end with a slash',
  },
  {
    title: 'a prefix with a wildcard',
    manifest: network({ topicPrefix: 'my+app' }),
    field: 'spec.topicPrefix',
    message: 'must hold no wildcard',
  },
  {
    title: "a prefix in the hub's own topics",
    manifest: network({ topicPrefix: '$hub/events' }),
    field: 'spec.topicPrefix',
    message: 'must not begin with $',
  },
  {
    title: 'a prefix for devices',
    manifest: network({ type: 'MQTT', topicPrefix: 'myapp' }),
    field: 'spec.topicPrefix',
    message: 'topicPrefix can only be set with type REST or Sigfox',
  },
  {
    title: 'a token for devices',
    manifest: network({ type: 'WebSocket', tokenSecretRef: { name: 'token' } }),
    field: 'spec.tokenSecretRef',
    message: 'tokenSecretRef can only be set with type REST or Sigfox',
  },
  {
    title: 'exposure by a Gateway that is not named',
    manifest: network({ exposure: { type: 'Gateway' } }),
    field: 'spec.exposure.gatewayRef',
    message: 'gatewayRef must be set with type Gateway, and only then',
  },
  {
    title: 'a Gateway for a Service',
    manifest: network({ exposure: { type: 'LoadBalancer', gatewayRef: { name: 'edge' } } }),
    field: 'spec.exposure.gatewayRef',
    message: 'gatewayRef must be set with type Gateway, and only then',
  },
  {
    title: 'host names for a Service',
    manifest: network({ exposure: { hostnames: ['hub.example.com'] } }),
    field: 'spec.exposure.hostnames',
    message: 'hostnames can only be set with type Gateway',
  },
  {
    title: 'MQTT by an HTTPRoute',
    manifest: network({
      type: 'MQTT',
      exposure: { type: 'Gateway', gatewayRef: { name: 'edge', route: 'HTTPRoute' } },
    }),
    field: 'spec.exposure.gatewayRef.route',
    message: 'MQTT is no HTTP: route must be TLSRoute',
  },
]
