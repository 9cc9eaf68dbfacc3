import { describe, expect, it } from 'vitest'
import type { HubEvent } from '../../contract/hub-event.ts'
import type { ProvisioningAnswer, ProvisioningRequest } from '../../contract/provisioning.ts'
import { hub } from '../../test-support/hub-state.ts'
import { Provisioner } from './provisioner.ts'

const certificate = (commonName: string) => ({
  fingerprint: 'a'.repeat(64),
  commonName,
  notBefore: 0,
  notAfter: 1,
  chainTrusted: true,
})

function setUp(perSecond: number | 'Off' = 2) {
  const world = { now: 0 }
  const asked: Array<{ request: ProvisioningRequest; answer: (answer: ProvisioningAnswer) => void }> = []
  const events: HubEvent[] = []
  const record = hub(perSecond === 'Off' ? {} : { autoProvisioning: { perSecond } })
  const provisioner = new Provisioner({
    provision: (request) => {
      const { promise, resolve } = Promise.withResolvers<ProvisioningAnswer>()
      asked.push({ request, answer: resolve })
      return promise
    },
    hub: () => record,
    raise: (event) => events.push(event),
    now: () => world.now,
  })
  return {
    provision: (name: string) => provisioner.provision(certificate(name), '10.0.0.7:1'),
    asked,
    events,
    world,
  }
}

describe('a device that makes itself known', () => {
  it('is asked for once, however many connections it opens, and made by one of them', async () => {
    const { provision, asked } = setUp()
    const outcomes = [provision('SN 1'), provision('SN 1'), provision('SN 1')]
    expect(asked.map(({ request }) => request.commonName)).toEqual(['SN 1'])
    asked[0]!.answer('Created')
    expect(await Promise.all(outcomes)).toEqual([
      { allowed: true, created: true },
      { allowed: true, created: false },
      { allowed: true, created: false },
    ])
  })

  it('is nobody new when somebody else was quicker', async () => {
    const { provision, asked } = setUp()
    const outcome = provision('SN 1')
    asked[0]!.answer('Existed')
    expect(await outcome).toEqual({ allowed: true, created: false })
  })

  it('comes again later when too many are new at once, and an event tells', async () => {
    const { provision, asked, events, world } = setUp(2)
    void provision('1')
    void provision('2')
    expect(await provision('3')).toMatchObject({ allowed: false, code: 'HUB_BUSY' })
    expect(events).toMatchObject([
      { code: 'AUTO_PROVISIONING_FAILED', extra: { 'source-address': '10.0.0.7:1' } },
    ])
    world.now = 1_000
    void provision('3')
    expect(asked).toHaveLength(3)
  })

  it.each([
    ['QuotaReached', 'UNKNOWN_DEVICE'],
    ['Failed', 'HUB_BUSY'],
  ] as const)('is refused when the answer is %s, and may try again', async (answer, code) => {
    const { provision, asked, events } = setUp()
    const outcome = provision('SN 1')
    asked[0]!.answer(answer)
    expect(await outcome).toMatchObject({ allowed: false, code })
    expect(events).toHaveLength(1)
    void provision('SN 1')
    expect(asked).toHaveLength(2)
  })

  it('is not asked for when no device may have its name, or when the hub takes none', async () => {
    const { provision, asked } = setUp()
    for (const name of ['', 'x'.repeat(65), 'a\u0000b']) {
      expect(await provision(name)).toMatchObject({ allowed: false, code: 'UNKNOWN_DEVICE' })
    }
    expect(asked).toEqual([])
    const closed = setUp('Off')
    expect(await closed.provision('SN 1')).toMatchObject({ allowed: false, code: 'UNKNOWN_DEVICE' })
  })

  it('that was deleted is told so, and asked for again only after a while', async () => {
    const { provision, asked, events, world } = setUp(10)
    const first = provision('SN 1')
    asked[0]!.answer('Deleted')
    expect(await first).toMatchObject({ allowed: false, code: 'DEVICE_DELETED' })
    expect(await provision('SN 1')).toMatchObject({ allowed: false, code: 'DEVICE_DELETED' })
    expect(asked).toHaveLength(1)
    expect(events.map((event) => event.code)).toEqual([
      'AUTO_PROVISIONING_FAILED',
      'AUTO_PROVISIONING_FAILED',
    ])
    world.now += 5_000
    void provision('SN 1')
    expect(asked).toHaveLength(2)
  })

  it('that nobody has answered for is told to come again, and is asked for at once when it does', async () => {
    const { provision, asked } = setUp(10)
    const first = provision('SN 1')
    asked[0]!.answer('Late')
    expect(await first).toMatchObject({ allowed: false, code: 'HUB_BUSY' })
    void provision('SN 1')
    expect(asked).toHaveLength(2)
  })
})
