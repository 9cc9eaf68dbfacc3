import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { FilterRule } from '../../contract/hub-state.ts'
import { device, hub } from '../../test-support/hub-state.ts'
import { explainConnect, explainNetworkPublish, explainPublish, explainSubscribe } from './explain.ts'
import { compileFilters } from './filters.ts'

const accept = (...topics: string[]) => ({ policy: 'Accept' as const, topics })
const reject = (...topics: string[]) => ({ policy: 'Reject' as const, topics })
const party = (publish: FilterRule = reject(), subscribe: FilterRule = reject()) => ({
  hub: hub(),
  device: device({ filters: { publish, subscribe } }),
})
const to = (topic: string) => ({ topic, qos: 0 as const, retain: false })

describe('why a device may or may not publish', () => {
  it.each([
    ['an accepted entry', accept('a/#', 'b'), 'a/1', true, 'the publish filter accepts a/#'],
    ['nothing accepted', accept(), 'a', false, 'the publish filter accepts nothing'],
    ['another topic accepted', accept('b'), 'a', false, 'the publish filter accepts only b'],
    ['nothing rejected', reject(), 'a', true, 'the publish filter rejects nothing'],
    ['another topic rejected', reject('b'), 'a', true, 'the publish filter rejects only b'],
    ['a rejected entry', reject('b', '+/x'), 'a/x', false, 'the publish filter rejects +/x'],
  ])('names the rule: %s', (_, rule, topic, allowed, because) => {
    const code = allowed ? {} : { code: 'UNAUTHORIZED_TOPIC' }
    expect(explainPublish(party(rule), to(topic))).toEqual({ allowed, because, ...code })
  })

  it('names a reserved topic, a bad one, a level of service and a broken template', () => {
    expect(explainPublish(party(), to('$hub/x')).because).toContain('written by the hub only')
    expect(explainPublish(party(), to('a/+'))).toMatchObject({ allowed: false, code: 'INVALID_TOPIC' })
    const strict = { ...party(), hub: hub({ messaging: { maxQoS: 1, retained: false } }) }
    expect(explainPublish(strict, { ...to('a'), qos: 2 })).toMatchObject({ code: 'PUBLISH_QOS_FORBIDDEN' })
    expect(explainPublish(strict, { ...to('a'), retain: true })).toMatchObject({ code: 'RETAINED_FORBIDDEN' })
    const { device: closed } = party(accept())
    const broken = { hub: hub(), device: { ...closed, templateErrors: ['publish: {{ x }} is not known'] } }
    expect(explainPublish(broken, to('a')).because).toContain('{{ x }} is not known')
  })

  it('says first what stands above all rules', () => {
    const { device: fine } = party()
    const told = (parts: { enabled?: boolean; revoked?: boolean; hubEnabled?: boolean }) =>
      explainPublish(
        {
          hub: hub({ enabled: parts.hubEnabled ?? true }),
          device: { ...fine, enabled: parts.enabled ?? true, revoked: parts.revoked ?? false },
        },
        to('a'),
      ).code
    expect(told({ hubEnabled: false })).toBe('HUB_DISABLED')
    expect(told({ revoked: true })).toBe('DEVICE_REVOKED')
    expect(told({ enabled: false })).toBe('DEVICE_DISABLED')
    expect(told({})).toBeUndefined()
  })
})

describe('why a device may or may not subscribe', () => {
  it('names the rule, and what $ topics need', () => {
    const limited = party(reject(), accept('a/#', '$hub/events/#'))
    expect(explainSubscribe(limited, { filter: 'a/+', qos: 0 })).toMatchObject({
      allowed: true,
      because: 'the subscribe filter accepts a/#',
    })
    expect(explainSubscribe(limited, { filter: '$hub/events/error/#', qos: 0 }).allowed).toBe(true)
    expect(explainSubscribe(limited, { filter: '#', qos: 0 }).because).toContain('accepts only a/#')
    expect(explainSubscribe(party(), { filter: '$hub/events/#', qos: 0 }).because).toContain(
      'starts with $ itself',
    )
    expect(explainSubscribe(party(), { filter: 'a/#/b', qos: 0 }).code).toBe('INVALID_TOPIC')
  })
})

describe('why a device may or may not connect', () => {
  it.each([
    ['mqtts', true, { allowInsecure: false }, undefined],
    ['mqtts', false, { allowInsecure: false }, 'MTLS_REQUIRED'],
    ['mqtt', false, { allowInsecure: false }, 'MTLS_REQUIRED'],
    ['mqtt', false, { allowInsecure: true }, undefined],
    ['wss', false, { allowInsecure: true }, undefined],
    ['mqtt', true, { allowInsecure: true }, 'MTLS_REQUIRED'],
    ['mqtts', true, { revoked: true }, 'DEVICE_REVOKED'],
    ['mqtts', true, { enabled: false }, 'DEVICE_DISABLED'],
    ['mqtts', true, { certificate: { source: 'None' as const } }, 'INVALID_DEVICE_CERTIFICATE'],
  ] as const)('on %s, with a certificate: %s, %j', (listener, certificate, parts, code) => {
    const record = device({ certificate: { source: 'Managed' }, ...parts })
    const told = explainConnect(
      { hub: hub(), device: record },
      { listener, by: certificate ? 'Certificate' : 'Id' },
    )
    expect(told.code).toBe(code)
    expect(told.allowed).toBe(code === undefined)
    expect(told.because).not.toBe('')
  })

  it('mentions a password', () => {
    const record = device({ passwordVerifier: 'scrypt$x' })
    expect(explainConnect({ hub: hub(), device: record }, { listener: 'mqtt', by: 'Id' }).because).toContain(
      'password',
    )
  })
})

describe('why a device may or may not connect by a token of its ServiceAccount', () => {
  const issuer = { issuer: 'https://kubernetes', keys: [], audience: 'hub-home.shop.svc' }
  const keyed = { namespace: 'shop', tokenIssuer: issuer }
  it.each<
    [string, 'mqtts' | 'mqtt', Parameters<typeof hub>[0], Parameters<typeof device>[0] | 'no account', string]
  >([
    [
      'its account, on an encrypted link',
      'mqtts',
      keyed,
      {},
      'yes: a token of ServiceAccount shop/reports for',
    ],
    ['a plain link', 'mqtt', keyed, { allowInsecure: true }, 'SERVICE_TOKEN_REFUSED: mqtt is not encrypted'],
    ['no account', 'mqtts', keyed, 'no account', 'SERVICE_TOKEN_REFUSED: the device names no'],
    ['no keys', 'mqtts', { namespace: 'shop' }, {}, 'SERVICE_TOKEN_REFUSED: no keys are known'],
    ['a hub that is off', 'mqtts', { ...keyed, enabled: false }, {}, 'HUB_DISABLED: '],
    ['a revoked device', 'mqtts', keyed, { revoked: true }, 'DEVICE_REVOKED: the device is revoked'],
    ['a disabled device', 'mqtts', keyed, { enabled: false }, 'DEVICE_DISABLED: the device is disabled'],
  ])('by %s', (_, listener, hubParts, parts, expected) => {
    const named = parts === 'no account' ? {} : { serviceAccount: 'reports', ...parts }
    const record = device({ allowInsecure: false, ...named })
    const told = explainConnect({ hub: hub(hubParts), device: record }, { listener, by: 'ServiceToken' })
    expect(`${told.allowed ? 'yes' : told.code}: ${told.because}`).toContain(expected)
    expect(told.allowed).toBe(told.code === undefined)
  })
})

describe('why a token network may or may not publish', () => {
  const network = { topicPrefix: 'web' }
  const say = (topic: string, parts: Parameters<typeof hub>[0] = {}, more: object = {}) =>
    explainNetworkPublish({ hub: hub(parts), network }, { ...to(topic), ...more })

  it('says where the message arrives, also beyond ASCII', () => {
    expect(say('a/1')).toEqual({
      allowed: true,
      because: 'whoever has its token may publish; the message arrives on web/a/1',
    })
    expect(say('grün').because).toContain('web/grün')
  })

  it('names what refuses it', () => {
    expect(say('a/+')).toMatchObject({ allowed: false, code: 'BAD_NETWORK_REQUEST' })
    expect(say('a', { enabled: false }).code).toBe('HUB_DISABLED')
    expect(say('a', { messaging: { maxQoS: 0 } }, { qos: 1 }).code).toBe('PUBLISH_QOS_FORBIDDEN')
    expect(say('a', { messaging: { retained: false } }, { retain: true }).code).toBe('RETAINED_FORBIDDEN')
  })
})

describe('the explanation', () => {
  const level = fc.constantFrom('a', 'b', '', '$x')
  const topic = fc.array(level, { minLength: 1, maxLength: 3 }).map((levels) => levels.join('/'))
  const filter = fc
    .array(fc.constantFrom('a', 'b', '+', '$x'), { minLength: 1, maxLength: 3 })
    .chain((levels) => fc.constantFrom(levels.join('/'), [...levels, '#'].join('/')))
  const rule = fc.record({
    policy: fc.constantFrom('Accept' as const, 'Reject' as const),
    topics: fc.array(filter, { maxLength: 4 }),
  })

  it('never says anything else than the broker does', () => {
    fc.assert(
      fc.property(rule, rule, topic, filter, (publish, subscribe, published, subscribed) => {
        const record = device({ filters: { publish, subscribe } })
        const both = { hub: hub(), device: record }
        const filters = compileFilters(record.filters, '$hub/events')
        if (published !== '') {
          expect(explainPublish(both, to(published)).allowed).toBe(filters.allowsPublish(published))
        }
        expect(explainSubscribe(both, { filter: subscribed, qos: 0 }).allowed).toBe(
          filters.allowsSubscribe(subscribed),
        )
      }),
      { seed: 20_261_123, numRuns: 500 },
    )
  })
})
