import fc from 'fast-check'
import { Value } from 'typebox/value'
import { describe, expect, test } from 'vitest'
import { HubState } from '../../contract/hub-state.ts'
import type { Device } from '../../crds/device.ts'
import type { Hub } from '../../crds/hub.ts'
import { type HubFacts, objectKey } from './facts.ts'
import { compileHubState, type HubStateInput } from './hub-state.ts'
import {
  FINGERPRINT,
  HUB_UID,
  makeDevice,
  makeFacts,
  makeHub,
  makeNetwork,
  makeRoute,
  managedCertificate,
  OTHER_FINGERPRINT,
  uidFor,
} from './manifests.fixture.ts'

const compile = (input: Partial<HubStateInput>) =>
  compileHubState({ hub: makeHub(), devices: [], networks: [], routes: [], facts: makeFacts(), ...input })

const compileDevices = (devices: Device[], facts: HubFacts = makeFacts(), hub: Hub = makeHub()) =>
  compile({ hub, devices, facts })

const TOKEN = 'c'.repeat(64)

describe('the hub record', () => {
  test('the load balancers that a hub trusts are handed to its brokers', () => {
    const hub = makeHub({ proxyProtocol: { trustedRanges: ['203.0.113.0/24'] } })
    expect(compile({ hub }).state.hub.trustedProxies).toEqual(['203.0.113.0/24'])
  })

  test('a hub without a spec gets the documented defaults', () => {
    const { state } = compile({ facts: makeFacts({ deviceCACertificates: ['PEM'] }) })
    expect(state.hub).toEqual({
      uid: HUB_UID,
      name: 'home',
      namespace: 'farm',
      enabled: true,
      events: { enabled: true, topicPrefix: '$hub/events' },
      limits: {
        payloadBytes: 4 * 1024 * 1024,
        devices: 10_000,
        connections: 10_000,
        pendingConnections: 1_000,
        connectsPerSecond: 500,
        messagesPerSecond: 0,
        queueMessages: 1_000,
        queueBytes: 16 * 1024 * 1024,
        queueOverflow: 'DropOldest',
        inflight: 100,
        sessionsPerDevice: 10,
        subscriptionsPerSession: 100,
        retainedMessages: 100_000,
        retainedBytes: 140 * 1024 * 1024,
        eventsPerSecond: 100,
      },
      messaging: { retained: true, maxQoS: 2, persistentSessions: true, sessionExpirySeconds: 604_800 },
      deviceTrust: { mode: 'Managed', caCertificates: ['PEM'] },
    })
  })

  test('a session expiry of less than a second is rounded up, never down to none', () => {
    const hub = makeHub({ messaging: { sessionExpiry: '1s500ms' } })
    expect(compile({ hub }).state.hub.messaging.sessionExpirySeconds).toBe(2)
  })

  test.each([
    ['of the operator', { managed: {} }, 'Managed'],
    ['of the user, with its key', { secretRef: { name: 'my-ca' } }, 'HubCA'],
  ])('a device CA %s is trusted by mode', (_, deviceCA, mode) => {
    expect(compile({ hub: makeHub({ deviceCA }) }).state.hub.deviceTrust.mode).toBe(mode)
  })

  test('a hub without a uid is refused: everything is kept by it', () => {
    const hub = makeHub()
    delete hub.metadata.uid
    expect(() => compile({ hub })).toThrow('Hub home: expected metadata.uid or facts.uids, got neither')
    const facts = makeFacts({ uids: new Map([[objectKey('Hub', 'home'), HUB_UID]]) })
    expect(compile({ hub, facts }).state.hub.uid).toBe(HUB_UID)
  })
})

describe('which objects belong to the hub', () => {
  test('objects of another hub, of another namespace or under deletion are ignored without a word', () => {
    const deletionTimestamp = '2026-01-02T00:00:00Z'
    const networkSpec = { type: 'REST' }
    const { state, diagnostics } = compile({
      devices: [
        makeDevice('elsewhere', { hubRef: { name: 'other' } }),
        makeDevice('abroad', {}, { namespace: 'village' }),
        makeDevice('going', {}, { deletionTimestamp }),
      ],
      networks: [
        makeNetwork('elsewhere', { ...networkSpec, hubRef: { name: 'other' } }),
        makeNetwork('going', networkSpec, { deletionTimestamp }),
      ],
      routes: [
        makeRoute('elsewhere', { topic: '#', hubRef: { name: 'other' } }),
        makeRoute('going', { topic: '#' }, { deletionTimestamp }),
      ],
      facts: makeFacts({ tokens: { elsewhere: TOKEN, going: TOKEN } }),
    })
    expect([state.devices, state.networks, state.routes, diagnostics]).toEqual([[], [], [], []])
  })

  test('an object without a namespace is in the default one', () => {
    const hub = makeHub()
    hub.metadata.namespace = 'default'
    const device = makeDevice('lamp')
    delete device.metadata.namespace
    expect(compileDevices([device], makeFacts(), hub).state.devices).toHaveLength(1)
  })
})

describe('networks and routes', () => {
  test('token networks become records, the others exist without one', () => {
    const { state, diagnostics } = compile({
      networks: [
        makeNetwork('web', { type: 'REST', topicPrefix: 'myapp' }),
        makeNetwork('radio', { type: 'Sigfox' }),
        makeNetwork('public', { type: 'MQTT' }),
        makeNetwork('browser', { type: 'WebSocket' }),
      ],
      facts: makeFacts({ tokens: { web: TOKEN, radio: TOKEN } }),
    })
    expect(state.networks).toEqual([
      { id: uidFor('radio'), name: 'radio', type: 'Sigfox', topicPrefix: '', tokenSha256: TOKEN },
      { id: uidFor('web'), name: 'web', type: 'REST', topicPrefix: 'myapp', tokenSha256: TOKEN },
    ])
    expect(diagnostics).toEqual([])
  })

  test('a token network without a known token is closed', () => {
    const { state, diagnostics } = compile({ networks: [makeNetwork('web', { type: 'REST' })] })
    expect(state.networks).toEqual([])
    expect(diagnostics).toEqual([
      {
        kind: 'Network',
        name: 'web',
        reason: 'TokenMissing',
        message: 'the token is not known yet: every request is refused',
        excluded: true,
      },
    ])
  })

  test('a route hands its whole spec to broker and worker, with every default', () => {
    const archive = makeRoute('archive', { topic: 'a/#', enabled: false })
    const { state } = compile({ routes: [archive] })
    const { spec } = archive
    const expected = { id: uidFor('archive'), name: 'archive', topic: 'a/#', enabled: false, spec }
    expect(state.routes).toEqual([expected])
    expect(spec.delivery.partitions).toBe(4)
  })

  test('an object without a uid is left out and named', () => {
    const devices = [makeDevice('lamp')]
    const networks = [makeNetwork('web', { type: 'REST' })]
    const routes = [makeRoute('archive', { topic: '#' })]
    for (const { metadata } of [...devices, ...networks, ...routes]) delete metadata.uid
    const { state, diagnostics } = compile({ devices, networks, routes })
    expect([state.devices, state.networks, state.routes]).toEqual([[], [], []])
    expect(diagnostics.map(({ kind, reason, excluded }) => [kind, reason, excluded])).toEqual([
      ['Device', 'IdMissing', true],
      ['Network', 'IdMissing', true],
      ['Route', 'IdMissing', true],
    ])
  })
})

describe('devices that share an identity', () => {
  const older = { creationTimestamp: '2026-01-01T00:00:00Z' }
  const newer = { creationTimestamp: '2026-01-01T00:00:01Z' }
  const id = '11111111-2222-4333-8444-555555555555'

  const names = (devices: Device[], facts?: HubFacts) =>
    compileDevices(devices, facts).state.devices.map((record) => record.name)

  test('of two with the same name the older stays', () => {
    const devices = [makeDevice('zebra', { name: 'lamp' }, older), makeDevice('lamp', {}, newer)]
    const { state, diagnostics } = compileDevices(devices)
    expect(state.devices.map((record) => record.id)).toEqual([uidFor('zebra')])
    expect(diagnostics).toEqual([
      {
        kind: 'Device',
        name: 'lamp',
        reason: 'DuplicateName',
        message: 'the name "lamp" belongs to the older Device zebra',
        excluded: true,
      },
    ])
  })

  test('of two with the same id the older stays, also when its id is its uid', () => {
    const devices = [makeDevice('b', { id: uidFor('a') }, newer), makeDevice('a', {}, older)]
    const { diagnostics } = compileDevices(devices)
    expect(names(devices)).toEqual(['a'])
    expect(diagnostics.map(({ name, reason }) => [name, reason])).toEqual([['b', 'DuplicateId']])
  })

  test('of two with the same certificate the older stays', () => {
    const facts = makeFacts({
      devices: {
        a: { certificate: managedCertificate(OTHER_FINGERPRINT, FINGERPRINT) },
        b: { certificate: managedCertificate(FINGERPRINT) },
      },
    })
    const { state, diagnostics } = compileDevices(
      [makeDevice('b', {}, newer), makeDevice('a', {}, older)],
      facts,
    )
    expect(state.devices.map((record) => record.name)).toEqual(['a'])
    expect(diagnostics.map(({ name, reason }) => [name, reason])).toEqual([['b', 'DuplicateCertificate']])
  })

  test('within one second the name decides', () => {
    expect(names([makeDevice('b', { id }, older), makeDevice('a', { id }, older)])).toEqual(['a'])
  })

  test('one without a time of creation is the newest', () => {
    const fresh = makeDevice('a', { id })
    delete fresh.metadata.creationTimestamp
    expect(names([fresh, makeDevice('b', { id }, newer)])).toEqual(['b'])
  })

  test('a device that lost claims nothing: a third one may have its other identity', () => {
    const devices = [
      makeDevice('first', { name: 'lamp' }, { creationTimestamp: '2026-01-01T00:00:01Z' }),
      makeDevice('second', { name: 'lamp', id }, { creationTimestamp: '2026-01-01T00:00:02Z' }),
      makeDevice('third', { id }, { creationTimestamp: '2026-01-01T00:00:03Z' }),
    ]
    expect(names(devices)).toEqual(['lamp', 'third'])
  })

  test('beyond limits.devices the newest are left out', () => {
    const hub = makeHub({ limits: { devices: 2 } })
    const devices = ['c', 'a', 'b'].map((name) =>
      makeDevice(name, {}, { creationTimestamp: `2026-01-01T00:00:0${name === 'c' ? 1 : 2}Z` }),
    )
    const { state, diagnostics } = compileDevices(devices, makeFacts(), hub)
    expect(state.devices.map((record) => record.name)).toEqual(['c', 'a'])
    expect(diagnostics).toEqual([
      {
        kind: 'Device',
        name: 'b',
        reason: 'DeviceLimitReached',
        message: 'the hub already has 2 devices (spec.limits.devices)',
        excluded: true,
      },
    ])
  })
})

describe('properties', () => {
  // Few values for many devices, so that they collide in names, ids, certificates and ages.
  const arbitraryDevices = fc.uniqueArray(
    fc.record({
      object: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g'),
      name: fc.option(fc.constantFrom('a', 'b', 'x'), { nil: undefined }),
      id: fc.option(fc.constantFrom('a', 'b', 'x').map(uidFor), { nil: undefined }),
      second: fc.option(fc.integer({ min: 0, max: 2 }), { nil: undefined }),
      fingerprint: fc.option(fc.constantFrom(FINGERPRINT, OTHER_FINGERPRINT), { nil: undefined }),
      topic: fc.constantFrom('a/{{ device.name }}', '{{ hub.id }}/#', 'plain/+', '{{ nothing }}'),
    }),
    { selector: ({ object }) => object, maxLength: 7 },
  )

  const build = fc.tuple(arbitraryDevices, fc.integer({ min: 1, max: 7 })).map(([rows, limit]) => {
    const devices = rows.map(({ object, name, id, second, topic }) => {
      const messageFilters = { publish: { topics: [topic] } }
      const device = makeDevice(object, { ...(name && { name }), ...(id && { id }), messageFilters })
      if (second === undefined) delete device.metadata.creationTimestamp
      else device.metadata.creationTimestamp = `2026-01-01T00:00:0${second}Z`
      return device
    })
    const facts = makeFacts({
      devices: Object.fromEntries(
        rows.flatMap(({ object, fingerprint }) =>
          fingerprint === undefined ? [] : [[object, { certificate: managedCertificate(fingerprint) }]],
        ),
      ),
    })
    return { devices, facts, hub: makeHub({ limits: { devices: limit } }), limit }
  })

  test('the order of the input changes nothing', () => {
    fc.assert(
      fc.property(build, fc.infiniteStream(fc.nat()), ({ devices, facts, hub }, random) => {
        const shuffled = devices
          .map((device) => ({ device, rank: random.next().value as number }))
          .sort((a, b) => a.rank - b.rank)
          .map(({ device }) => device)
        expect(compileDevices(shuffled, facts, hub)).toEqual(compileDevices(devices, facts, hub))
      }),
      { seed: 1, numRuns: 200 },
    )
  })

  test('no two devices of a state share an identity, the limit holds, and every device is in or explained', () => {
    fc.assert(
      fc.property(build, ({ devices, facts, hub, limit }) => {
        const { state, diagnostics } = compileDevices(devices, facts, hub)
        for (const identity of [
          state.devices.map(({ name }) => name),
          state.devices.map(({ id }) => id),
          state.devices.flatMap(({ certificate }) => certificate.fingerprints),
        ])
          expect(new Set(identity).size).toBe(identity.length)
        expect(state.devices.length).toBeLessThanOrEqual(limit)
        const excluded = diagnostics.filter((diagnostic) => diagnostic.excluded)
        expect(state.devices.length + excluded.length).toBe(devices.length)
        expect(new Set(excluded.map(({ name }) => name)).size).toBe(excluded.length)
      }),
      { seed: 2, numRuns: 200 },
    )
  })

  test('every state fits the contract', () => {
    fc.assert(
      fc.property(build, ({ devices, facts, hub }) => {
        expect(Value.Check(HubState, compileDevices(devices, facts, hub).state)).toBe(true)
      }),
      { seed: 3, numRuns: 50 },
    )
  })
})
