import { expect, it } from 'vitest'
import { makeDevice, makeHub, makeNetwork } from '../compile/manifests.fixture.ts'
import type { Desired } from '../runtime/apply.ts'
import {
  deviceCaSecret,
  deviceSecret,
  deviceTrustSecret,
  redisSecret,
  routesSecret,
  serverCaConfigMap,
  serverCaSecret,
  serverTlsSecret,
  tokenSecret,
  verifierSecret,
} from './credentials.ts'

const hub = makeHub()
const pair = { certificatePem: 'CERT', privateKeyPem: 'KEY' }
const base64 = (text: string) => Buffer.from(text).toString('base64')
const labels = (component: string) => ({
  'app.kubernetes.io/name': 'hublet',
  'app.kubernetes.io/component': component,
  'app.kubernetes.io/part-of': 'hublet',
  'app.kubernetes.io/managed-by': 'hublet',
  'iot.hublet.dev/hub': 'home',
})
const tls = {
  type: 'kubernetes.io/tls',
  data: { 'tls.crt': base64('CERT'), 'tls.key': base64('KEY'), 'ca.crt': base64('CA') },
}
const opaque = (data: Record<string, string>) => ({
  type: 'Opaque',
  data: Object.fromEntries(Object.entries(data).map(([key, value]) => [key, base64(value)])),
})

const cases: Array<[string, Desired, string, string, object]> = [
  ['the device CA', deviceCaSecret(hub, pair, 'CA'), 'hub-home-device-ca', 'certificate', tls],
  ['the server CA', serverCaSecret(hub, pair, 'CA'), 'hub-home-server-ca', 'certificate', tls],
  ['the server certificate', serverTlsSecret(hub, pair, 'CA'), 'hub-home-server-tls', 'certificate', tls],
  [
    'the public server CA',
    serverCaConfigMap(hub, 'CA'),
    'hub-home-server-ca',
    'certificate',
    { data: { 'ca.crt': 'CA' } },
  ],
  [
    'the device CA in force',
    deviceTrustSecret(hub, { deviceCA: { managed: {} }, caPem: 'CA' }),
    'hub-home-device-trust',
    'certificate',
    opaque({ 'device-ca.json': '{"managed":{}}', 'ca.crt': 'CA' }),
  ],
  [
    'the way to Redis',
    redisSecret(hub, { url: 'redis://r', password: 'p' }),
    'hub-home-redis',
    'credentials',
    opaque({ url: 'redis://r', password: 'p' }),
  ],
  [
    'the credentials of routes',
    routesSecret(hub, { 'uid.json': '{}' }),
    'hub-home-routes',
    'credentials',
    opaque({ 'uid.json': '{}' }),
  ],
  [
    'the certificate of a device',
    deviceSecret(makeDevice('lamp'), pair, 'CA'),
    'device-lamp-tls',
    'certificate',
    tls,
  ],
  [
    'the certificate of a device that names its Secret',
    deviceSecret(makeDevice('lamp', { certificate: { managed: { secretName: 'mine' } } }), pair, 'CA'),
    'mine',
    'certificate',
    tls,
  ],
  [
    'the token of a network',
    tokenSecret(makeNetwork('web', { type: 'REST' }), 'token'),
    'network-web-token',
    'credentials',
    opaque({ token: 'token' }),
  ],
]

it.each(cases)('%s stands where the documents say', (_, { object }, name, component, fields) => {
  expect(object).toEqual({ metadata: { name, namespace: 'farm', labels: labels(component) }, ...fields })
})

it('a verifier says which password it was made of', () => {
  expect(verifierSecret(makeDevice('lamp'), 'scrypt$x', 'uid/1/password').object).toEqual({
    metadata: {
      name: 'device-lamp-verifier',
      namespace: 'farm',
      labels: labels('credentials'),
      annotations: { 'iot.hublet.dev/password-source': 'uid/1/password' },
    },
    ...opaque({ verifier: 'scrypt$x' }),
  })
})
