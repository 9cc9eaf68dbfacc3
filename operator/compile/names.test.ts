import fc from 'fast-check'
import { expect, test } from 'vitest'
import { HUB_NAME_MAX_LENGTH, OBJECT_NAME_MAX_LENGTH, SUBDOMAIN_PATTERN } from '../../crds/meta.ts'
import {
  deviceTlsSecret,
  hubDeviceCaSecret,
  hubRedisSecret,
  hubRedisServerSecret,
  hubRedisWorkload,
  hubRoutesSecret,
  hubServerCaConfigMap,
  hubServerTlsSecret,
  networkService,
  networkTokenSecret,
  provisionedDeviceName,
} from './names.ts'

test('the names are those of the documents', () => {
  expect([
    hubServerTlsSecret('home'),
    hubDeviceCaSecret('home'),
    hubRoutesSecret('home'),
    hubRedisSecret('home'),
    hubServerCaConfigMap('home'),
    deviceTlsSecret('lamp'),
    networkTokenSecret('web'),
  ]).toEqual([
    'hub-home-server-tls',
    'hub-home-device-ca',
    'hub-home-routes',
    'hub-home-redis',
    'hub-home-server-ca',
    'device-lamp-tls',
    'network-web-token',
  ])
})

test('the longest names that the CRDs allow give names that Kubernetes allows', () => {
  expect(hubServerTlsSecret('h'.repeat(HUB_NAME_MAX_LENGTH)).length).toBeLessThanOrEqual(63)
  expect(networkTokenSecret('n'.repeat(OBJECT_NAME_MAX_LENGTH)).length).toBeLessThanOrEqual(253)
  expect(deviceTlsSecret('d'.repeat(OBJECT_NAME_MAX_LENGTH)).length).toBeLessThanOrEqual(253)
})

test('names of Services and of what makes pods are short enough for both', () => {
  const longest = 'h'.repeat(HUB_NAME_MAX_LENGTH)
  // A pod of a StatefulSet carries its name and an 11 character hash in a label.
  expect(hubRedisWorkload(longest).length + 11).toBeLessThanOrEqual(63)
  expect(hubRedisServerSecret(longest).length).toBeLessThanOrEqual(63)
})

test.each([
  ['web', 'network-web'],
  ['a.b', 'network-a-b-2e7336dc'],
  ['n'.repeat(56), `network-${'n'.repeat(46)}-dc5ba4cf`],
])('the Service of network %s is %s', (network, name) => {
  expect(networkService(network)).toBe(name)
  expect(networkService('n'.repeat(OBJECT_NAME_MAX_LENGTH)).length).toBeLessThanOrEqual(63)
})

test.each([
  ['SN-0042', 'sn-0042-769d998e'],
  ['Küche / Lampe', 'k-che-lampe-5da324d1'],
  ['☃', 'device-51643361'],
])('a device with the common name %s is provisioned as %s', (commonName, name) => {
  expect(provisionedDeviceName(commonName)).toBe(name)
})

test('every common name gives an object name that Kubernetes allows, and different ones give different names', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1, maxLength: 64 }), fc.string({ minLength: 1 }), (one, other) => {
      const name = provisionedDeviceName(one)
      expect(name).toMatch(new RegExp(SUBDOMAIN_PATTERN))
      expect(name.length).toBeLessThanOrEqual(63)
      expect(provisionedDeviceName(other) === name).toBe(one === other)
    }),
    { seed: 1, numRuns: 500 },
  )
})
