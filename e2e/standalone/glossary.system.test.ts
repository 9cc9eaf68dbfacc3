import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'

/**
 * What each word of the glossary promises, and the test that holds the hub to it. A row of something that is not
 * there yet says so; its tests come with it.
 */
type Row = { tests: readonly (readonly [file: string, title: string])[] } | { later: string }

const here = 'e2e/standalone'
const security = `${here}/security-matrix.system.test.ts`
const certificates = `${here}/certificates.system.test.ts`
const ownCa = 'cli/dev-own-ca.system.test.ts'
const provisioning = 'cli/dev-provisioning.system.test.ts'
const live = `${here}/live-changes.system.test.ts`
const filters = `${here}/filters.system.test.ts`
const qos = `${here}/qos.system.test.ts`
const networks = `${here}/networks.system.test.ts`
const events = `${here}/events.system.test.ts`
const platform = `${here}/platform.system.test.ts`
const badInput = `${here}/bad-input.system.test.ts`
const durability = `${here}/durability.system.test.ts`
const routes = 'cli/dev-routes.system.test.ts'
const messageRoutes = 'cli/dev-message-routes.system.test.ts'
const worker = 'sidecar/sidecar.system.test.ts'

const GLOSSARY: Record<string, Row> = {
  'Auth-by-device': {
    tests: [
      [security, 'the security matrix'],
      [platform, 'counts connections, messages and activity of each device apart'],
    ],
  },
  'Auth-by-token': {
    tests: [
      [networks, 'is no device: no filter, counter or connection of one is touched'],
      [networks, 'the secret of another network'],
    ],
  },
  Authentication: { tests: [[security, 'the security matrix']] },
  'Auto-provisioning': {
    tests: [
      [provisioning, 'becomes one at its first connection, the same one ever after, also over a restart'],
      [provisioning, 'is in quarantine, by a real client, until hublet approve lets it in; its link goes on'],
      ['e2e/operator/provisioning.cluster.test.ts', 'waits in quarantine until somebody approves it'],
    ],
  },
  Broker: {
    tests: [
      [platform, 'gives every matching subscriber of many a copy from every publisher of many'],
      [qos, 'is not sent for a leading wildcard when its topic starts with a dollar sign'],
    ],
  },
  Client: {
    tests: [
      [qos, 'of 36 characters is accepted from an MQTT 3.1 client'],
      [qos, 'that is empty is generated, different each time, when several connections are allowed'],
    ],
  },
  Device: {
    tests: [
      [live, 'disabling the device'],
      [live, 'deleting the device'],
    ],
  },
  'Device certificate': {
    tests: [
      [live, 'replacing the certificate'],
      [certificates, 'that its device signed itself, for servers and without a name'],
      [certificates, 'with the chain to its authority'],
    ],
  },
  Encryption: { tests: [[platform, 'rejects plain text on %s']] },
  Events: {
    tests: [
      [events, 'show the mTLS error when a device that denies insecure links connects on the plain port'],
      [events, 'fall silent when they are switched off and come back when switched on'],
      [events, 'follow a change of their prefix'],
    ],
  },
  Hub: {
    tests: [
      [live, 'disabling the hub'],
      [live, 'a hub enabled again lets its devices in again'],
    ],
  },
  'Hub device CA': {
    tests: [
      [ownCa, 'lets in who shows a certificate of that CA with the name of a device, on TLS and WebSocket'],
      [
        ownCa,
        'gets another CA: both let their devices in, nobody is cut off, and without overlap the old one ends',
      ],
      [ownCa, 'is not served, and the place is named, when the challenge was made for another hub'],
    ],
  },
  'Hub server CA': {
    tests: [
      [platform, 'is verified by openssl with the server CA and with nothing else'],
      [live, 'new server credentials serve new handshakes and leave live links'],
    ],
  },
  IFTTT: { tests: [[routes, 'ring at IFTTT, whose applet answers by a network']] },
  'IoT Hub (platform)': {
    tests: [[platform, 'connects devices on every kind of link with each other and with a REST network']],
  },
  Kickstart: { later: 'no set of manifests for a common purpose is there yet' },
  Message: {
    tests: [
      [networks, 'carries bytes of any value and an empty body'],
      [events, 'of the service level name the rule that was broken'],
      [badInput, 'of exactly the limit pass'],
    ],
  },
  'Message filter': {
    tests: [
      [filters, 'drops what it must and keeps the link'],
      [filters, 'grants, denies and hides'],
      [filters, 'on a topic that the filter rejects is never published'],
      [filters, 'closes its direction, leaves the other open and raises an event'],
    ],
  },
  mTLS: { tests: [[security, 'the certificate of another CA with its name']] },
  MQTT: {
    tests: [
      [qos, 'is published when nothing is heard for one and a half keep-alives'],
      [qos, 'greets new subscribers with the retain flag and reaches live ones without it'],
      [qos, 'is told of by the session present flag and ended by a clean one'],
    ],
  },
  Network: {
    tests: [
      [networks, 'puts its prefix before the topic'],
      [networks, 'that is deleted leaves its secret useless; one with a new secret takes only that'],
    ],
  },
  'Publisher/Subscriber': {
    tests: [[platform, 'gives every matching subscriber of many a copy from every publisher of many']],
  },
  QoS: {
    tests: [
      [qos, 'published at $published, subscribed at $subscribed: the lower one'],
      [durability, '1,000 QoS 1 messages amid QoS 0 and QoS 2 with %s store'],
      [events, 'of the service level name the rule that was broken'],
    ],
  },
  Routes: {
    tests: [
      [routes, 'bring a reading to the bucket and both databases'],
      [routes, 'call the function and publish its answer'],
      [messageRoutes, 'bring a reading to NATS and Kafka'],
      [messageRoutes, 'bridge to another broker, and back'],
      [worker, 'delivers what a device was told is stored, and brings the answer back into the hub'],
    ],
  },
  'Security modes': { tests: [[live, 'denying insecure links']] },
  TLS: { tests: [[security, 'its id as client id']] },
  Topic: {
    tests: [
      [platform, 'is split at slashes, and empty levels and letter case count'],
      [platform, 'may be 65,535 bytes long'],
      [platform, 'cannot be published to, and an event tells'],
    ],
  },
  TCP: { tests: [[platform, 'opens each listener on the port it is given']] },
}

const root = join(import.meta.dirname, '../..')

it.each(Object.entries(GLOSSARY))('the glossary’s "%s" has a test that is there', (_, row) => {
  const missing = ('tests' in row ? row.tests : []).filter(
    ([file, title]) => !readFileSync(join(root, file), 'utf8').includes(title),
  )
  expect(missing).toEqual([])
})

it('the list of glossary rows and their tests', () => {
  const lines = Object.entries(GLOSSARY).flatMap(([term, row]) =>
    'later' in row
      ? [`${term.padEnd(22)} later: ${row.later}`]
      : row.tests.map(([file, title]) => `${term.padEnd(22)} ${file.replace(`${here}/`, '')}: ${title}`),
  )
  console.log(lines.join('\n'))
  expect(Object.keys(GLOSSARY)).toHaveLength(28)
})
