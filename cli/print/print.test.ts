import { describe, expect, it } from 'vitest'
import { matches } from '../../contract/topic.ts'
import { device, hub, hubState, network } from '../../test-support/hub-state.ts'
import type { DeviceAccess } from './device-commands.ts'
import { formatHubPage, type HubPage, MAX_DEVICES_SHOWN } from './hub-page.ts'
import { sampleTopics } from './sample-topics.ts'
import { formatCommand, quote } from './shell.ts'
import { makeStyle, wantsColours } from './style.ts'
import { formatTable } from './table.ts'

const PLAIN = makeStyle(false)
const ID = '0c0ffee0-0000-4000-8000-000000000001'

describe('quote', () => {
  it.each([
    ['plain-word_1.2/x:y@z', 'plain-word_1.2/x:y@z'],
    ['#', "'#'"],
    ['a b', "'a b'"],
    ["it's", `'it'\\''s'`],
    ['$hub/events/#', "'$hub/events/#'"],
    ['', "''"],
    ['~', "'~'"],
  ])('writes %j as %s', (word, expected) => {
    expect(quote(word)).toBe(expected)
  })
})

describe('formatCommand', () => {
  it('breaks between groups only, and never beyond the width', () => {
    const groups = [['mosquitto_sub'], ['--cafile', '.hublet/garden/ca.crt'], ['-t', 'a/b']]
    expect(formatCommand(groups, '  ', 44)).toEqual([
      '  mosquitto_sub \\',
      '    --cafile .hublet/garden/ca.crt -t a/b',
    ])
    expect(formatCommand(groups, '  ', 100)).toHaveLength(1)
  })
})

describe('formatTable', () => {
  it('aligns all columns but the last', () => {
    expect(
      formatTable(
        [
          ['a', 'bbb', 'c'],
          ['aaa', 'b', 'cc dd'],
        ],
        '  ',
      ),
    ).toEqual(['  a    bbb  c', '  aaa  b    cc dd'])
  })
})

describe('wantsColours', () => {
  it.each([
    ['a terminal', { isTTY: true }, {}, true],
    ['a pipe', {}, {}, false],
    ['NO_COLOR', { isTTY: true }, { NO_COLOR: '1' }, false],
    ['an empty NO_COLOR, which does not count', { isTTY: true }, { NO_COLOR: '' }, true],
    ['a terminal that cannot', { isTTY: true }, { TERM: 'dumb' }, false],
  ])('with %s', (_, stream, env, expected) => {
    expect(wantsColours(stream, env)).toBe(expected)
    expect(makeStyle(true).error('x')).toContain('\u001b[31m')
  })
})

describe('sampleTopics', () => {
  const sample = (publish: string[], subscribe: string[], policy: 'Accept' | 'Reject' = 'Accept') =>
    sampleTopics(
      device({
        name: 'lamp',
        filters: { publish: { policy, topics: publish }, subscribe: { policy, topics: subscribe } },
      }),
      '$hub/events',
    )

  it('takes everything where nothing is filtered, events not included', () => {
    expect(sample([], [], 'Reject')).toEqual({ publish: 'lamp/demo', subscribe: '#', events: undefined })
  })

  it('keeps to what is accepted', () => {
    expect(sample(['in/+/x/#'], ['out/+'])).toEqual({
      publish: 'in/demo/x/demo',
      subscribe: 'out/+',
      events: undefined,
    })
    expect(matches('in/+/x/#', 'in/demo/x/demo')).toBe(true)
  })

  it('goes round what is rejected', () => {
    expect(sample(['lamp/#', 'demo/+'], [], 'Reject').publish).toBe('hello')
  })

  it('finds what a device may see of the events, whole or in part', () => {
    expect(sample([], ['a', '$hub/events/#']).events).toBe('$hub/events/#')
    expect(sample([], ['$hub/events/error/#']).events).toBe('$hub/events/error/#')
    expect(sample([], ['$hub/#']).subscribe).toBeUndefined()
  })

  it('finds nothing where nothing may pass', () => {
    expect(sample([], [])).toEqual({ publish: undefined, subscribe: undefined, events: undefined })
    expect(sample(['#'], ['#'], 'Reject')).toMatchObject({ publish: undefined, subscribe: undefined })
  })

  it('never makes a wildcard out of a name', () => {
    const odd = sampleTopics(device({ name: '+/#$ x' }), '$hub/events')
    expect(odd.publish).toBe('x/demo')
  })
})

describe('formatHubPage', () => {
  const thermometer = device({
    name: 'thermometer',
    allowInsecure: false,
    certificate: { source: 'Managed', fingerprints: ['aa'] },
  })
  const lamp = device({ id: ID, name: 'lamp', allowInsecure: true })
  const certificate = {
    certFile: '.hublet/garden/devices/thermometer/tls.crt',
    keyFile: '.hublet/garden/devices/thermometer/tls.key',
  }
  const ports = { mqtts: 8883, mqtt: 1883, wss: 8084, ws: 8083, https: 8443 }

  const page = (devices: DeviceAccess[], over: Partial<HubPage> = {}): HubPage => ({
    state: hubState({ hub: hub({ name: 'garden' }), devices: devices.map(({ record }) => record) }),
    access: { host: 'localhost', ports, caFile: '.hublet/garden/ca.crt' },
    wanted: ports,
    devices,
    tokenFileOf: ({ name }) => `.hublet/garden/networks/${name}/token`,
    diagnostics: [],
    notes: [],
    ...over,
  })
  const text = (value: HubPage) => formatHubPage(value, PLAIN).join('\n')

  it('shows endpoints, commands with certificate and without, and where events go', () => {
    const shown = text(
      page([{ record: thermometer, certificate }, { record: lamp }], {
        state: hubState({
          hub: hub({ name: 'garden' }),
          devices: [thermometer, lamp],
          networks: [network({ name: 'web', topicPrefix: 'web', token: 'swordfish' })],
        }),
      }),
    )
    expect(shown).toMatch(/ {2}mqtts:\/\/localhost:8883 +MQTT over TLS/)
    expect(shown).toContain('wss://localhost:8084/mqtt')
    expect(shown).toContain(
      [
        '    mosquitto_sub -h localhost -p 8883 --cafile .hublet/garden/ca.crt \\',
        '      --cert .hublet/garden/devices/thermometer/tls.crt \\',
        "      --key .hublet/garden/devices/thermometer/tls.key -v -t '#'",
      ].join('\n'),
    )
    expect(shown).toContain(`    mosquitto_pub -h localhost -p 1883 -i ${ID} \\\n      -t lamp/demo -m hello`)
    expect(shown).toContain('-H "X-Secret: $(cat .hublet/garden/networks/web/token)"')
    expect(shown).toContain('https://localhost:8443/networks/web')
    expect(shown).toContain('arrives on web/demo')
    expect(shown).toContain('no device may: one with an Accept entry $hub/events/# can')
    expect(shown).not.toContain('swordfish')
  })

  it('fits into 100 columns', () => {
    const devices = [
      { record: thermometer, certificate },
      { record: lamp, passwordFile: '.hublet/garden/devices/lamp/password' },
    ]
    const long = formatHubPage(page(devices), PLAIN).filter((line) => line.length > 100)
    expect(long).toEqual([])
  })

  it('shows the password by its file only', () => {
    const shown = text(page([{ record: lamp, passwordFile: '.hublet/garden/devices/lamp/password' }]))
    expect(shown).toContain(`-u ${ID} -P "$(cat .hublet/garden/devices/lamp/password)"`)
  })

  it('tells a port that is not the one of the manifest', () => {
    const shown = text(
      page([], {
        access: { host: 'localhost', ports: { mqtt: 11883 }, caFile: 'ca' },
        wanted: { mqtt: 1883 },
      }),
    )
    expect(shown).toMatch(/mqtt:\/\/localhost:11883 .*\(1883 is taken\)/)
  })

  const enrolmentTokenFile = 'gate/token'
  const asking = { ...thermometer, certificate: { source: 'None' as const, fingerprints: [] } }
  it.each<[string, DeviceAccess, RegExp]>([
    ['revoked', { record: { ...thermometer, revoked: true }, certificate }, /revoked: it cannot connect/],
    ['disabled', { record: { ...lamp, enabled: false } }, /disabled: it cannot connect/],
    [
      'one whose certificate the user issued',
      { record: { ...thermometer, certificate: { source: 'Provided', fingerprints: ['aa'] } } },
      /with the certificate that you issued/,
    ],
    [
      'one that is to ask for its certificate',
      {
        record: { ...asking, enrolment: { tokenSha256: 'aa', until: '2030-01-01T00:00:00Z' } },
        enrolmentTokenFile,
      },
      /over EST \(https\), by the token in gate\/token/,
    ],
    [
      'one that has not asked for its certificate in time',
      { record: asking, enrolmentTokenFile },
      /expired: hublet rotate thermometer/,
    ],
    [
      'one that has its certificate by asking',
      { record: { ...asking, certificate: { source: 'Managed', fingerprints: ['aa'] } }, enrolmentTokenFile },
      /with the certificate that it asked for/,
    ],
    [
      'one without any way in',
      { record: { ...lamp, allowInsecure: false } },
      /has no certificate and may not connect without one/,
    ],
  ])('gives no command for a device that is %s, but the reason', (_, access, reason) => {
    const shown = text(page([access]))
    expect(shown).not.toContain('mosquitto_')
    expect(shown).toMatch(reason)
  })

  it('connects a device without certificate by TLS when nothing else is open', () => {
    const shown = text(
      page([{ record: lamp }], { access: { host: '::1', ports: { mqtts: 8883 }, caFile: 'ca.crt' } }),
    )
    expect(shown).toContain(`mosquitto_pub -h ::1 -p 8883 --cafile ca.crt -i ${ID}`)
    expect(shown).toContain('mqtts://[::1]:8883')
  })

  it('shows how to watch events as the device that may', () => {
    const watcher = device({
      name: 'watcher',
      allowInsecure: true,
      filters: { subscribe: { policy: 'Accept', topics: ['#', '$hub/events/#'] } },
    })
    expect(text(page([{ record: lamp }, { record: watcher }]))).toMatch(
      new RegExp(`# watch as watcher\\n.*-i ${watcher.id} \\\\\\n +-v -t '\\$hub/events/#'`),
    )
  })

  it('says what is left out, what has no effect, and that a hub is disabled', () => {
    const diagnostics = [
      {
        kind: 'Device' as const,
        name: 'x',
        reason: 'DuplicateId',
        message: 'the id belongs to y',
        excluded: true,
      },
    ]
    const state = hubState({ hub: hub({ name: 'garden', enabled: false }) })
    const shown = text(
      page([], { state, diagnostics, notes: ['replicas: 2: one process serves the hub here'] }),
    )
    expect(shown).toContain('! Device x: the id belongs to y [DuplicateId] (left out)')
    expect(shown).toContain('! replicas: 2')
    expect(shown).toContain('Hub garden (disabled: nobody can connect)')
  })

  it('keeps a large fleet off the screen', () => {
    const many = Array.from({ length: 500 }, () => ({ record: device() }))
    const lines = formatHubPage(page(many), PLAIN)
    expect(lines.join('\n')).toContain(`and ${500 - MAX_DEVICES_SHOWN} more devices`)
    expect(lines.length).toBeLessThan(200)
  })
})
