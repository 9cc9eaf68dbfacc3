import { describe, expect, it } from 'vitest'
import { makeHub, makeNetwork } from '../compile/manifests.fixture.ts'
import { hubService, networkListeners, networkServiceObject } from './services.ts'

const SELECTOR = {
  'app.kubernetes.io/name': 'hublet',
  'app.kubernetes.io/component': 'broker',
  'iot.hublet.dev/hub': 'home',
}
const COMMON = { 'app.kubernetes.io/part-of': 'hublet', 'app.kubernetes.io/managed-by': 'hublet' }
const port = (name: string, at: number, targetPort: number) => ({
  name,
  protocol: 'TCP',
  port: at,
  targetPort,
})

describe('the Service of a hub', () => {
  it('maps the ports that clients use to those of the container', () => {
    const hub = makeHub({ listeners: { mqtts: { port: 443 }, wss: { enabled: false } } })
    expect(hubService(hub)?.object).toEqual({
      metadata: { name: 'hub-home', namespace: 'farm', labels: { ...SELECTOR, ...COMMON } },
      spec: {
        type: 'ClusterIP',
        ipFamilyPolicy: 'SingleStack',
        selector: SELECTOR,
        ports: [
          port('mqtt', 1883, 1883),
          port('mqtts', 443, 8883),
          port('ws', 8083, 8083),
          port('https', 8443, 8443),
        ],
      },
    })
  })

  it('carries what a load balancer needs, and only where it is one', () => {
    const service = {
      type: 'LoadBalancer',
      annotations: { 'lb.example/internal': 'true' },
      loadBalancerClass: 'example/lb',
      externalTrafficPolicy: 'Local',
      loadBalancerSourceRanges: ['198.51.100.0/24'],
    }
    const built = hubService(makeHub({ service }))?.object
    expect(built).toMatchObject({
      metadata: { annotations: { 'lb.example/internal': 'true' } },
      spec: {
        type: 'LoadBalancer',
        loadBalancerClass: 'example/lb',
        externalTrafficPolicy: 'Local',
        loadBalancerSourceRanges: ['198.51.100.0/24'],
      },
    })
    const internal = hubService(makeHub({ service: { ...service, type: 'ClusterIP' } }))?.object
    expect(internal).toMatchObject({ spec: { type: 'ClusterIP' } })
    expect(internal).not.toHaveProperty('spec.loadBalancerClass')
    expect(internal).not.toHaveProperty('spec.loadBalancerSourceRanges')
    expect(internal).not.toHaveProperty('spec.externalTrafficPolicy')
  })

  it('has the node ports that are asked for, and the family of addresses', () => {
    const service = {
      type: 'NodePort',
      ipFamilyPolicy: 'PreferDualStack',
      nodePorts: { mqtts: 30883, http: 30080 },
    }
    expect(hubService(makeHub({ service }))?.object).toMatchObject({
      spec: {
        ipFamilyPolicy: 'PreferDualStack',
        ports: [
          port('mqtt', 1883, 1883),
          { ...port('mqtts', 8883, 8883), nodePort: 30883 },
          port('ws', 8083, 8083),
          port('wss', 8084, 8084),
          port('https', 8443, 8443),
        ],
      },
    })
  })

  it('is not there when no listener is open', () => {
    const closed = { enabled: false }
    const listeners = { mqtt: closed, mqtts: closed, ws: closed, wss: closed, https: closed }
    expect(hubService(makeHub({ listeners }))).toBeUndefined()
  })
})

describe('the Service of a network', () => {
  it('is there when one of its own is asked for, with the listeners that fit', () => {
    const exposure = { type: 'NodePort', annotations: { a: 'b' } }
    const hub = makeHub({ listeners: { http: { enabled: true } } })
    expect(networkServiceObject(hub, makeNetwork('web', { type: 'REST', exposure }))?.object).toEqual({
      metadata: {
        name: 'network-web',
        namespace: 'farm',
        labels: { ...SELECTOR, ...COMMON, 'app.kubernetes.io/component': 'network' },
        annotations: { a: 'b' },
      },
      spec: {
        type: 'NodePort',
        selector: SELECTOR,
        ports: [port('https', 8443, 8443), port('http', 8080, 8080)],
      },
    })
    expect(networkServiceObject(hub, makeNetwork('web', { type: 'REST' }))).toBeUndefined()
  })

  it.each([
    ['MQTT', ['mqtts', 'mqtt']],
    ['WebSocket', ['wss', 'ws']],
    ['REST', ['https']],
    ['Sigfox', ['https']],
  ])('a %s network is reached by %j', (type, listeners) => {
    expect(networkListeners(makeHub(), makeNetwork('n', { type }))).toEqual(listeners)
  })

  it('is not there when nothing that fits is open', () => {
    const hub = makeHub({ listeners: { https: { enabled: false } } })
    const network = makeNetwork('web', { type: 'REST', exposure: { type: 'ClusterIP' } })
    expect(networkServiceObject(hub, network)).toBeUndefined()
  })
})
