import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { pino } from 'pino'
import { afterEach, describe, expect, it } from 'vitest'
import { makeTempDir } from '../../test-support/temp-dir.ts'
import { makeStyle } from '../print/style.ts'
import { openDataFolder } from './data-folder.ts'
import { DevSession } from './dev-session.ts'
import { makeObserver } from './hub-observer.ts'
import { HubRunners } from './hub-runners.ts'
import { IdentityStore } from './identity-store.ts'
import { deviceYaml, hubYaml } from './manifests.fixture.ts'
import { ProvisionedDevices } from './provisioned-devices.ts'
import { RecordingBroker } from './recording-broker.fixture.ts'
import { Reporter } from './reporter.ts'

const stops: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})

function makeSession() {
  const root = makeTempDir('session')
  const manifests = join(root, 'manifests.yaml')
  const folder = openDataFolder(join(root, '.hublet'))
  const texts = { pages: '', log: '' }
  const into = (name: 'pages' | 'log') =>
    new Writable({
      write(chunk, _, done) {
        texts[name] += String(chunk)
        done()
      },
    })
  const brokerLog: string[] = []
  const log = into('log')
  const reporter = new Reporter({
    output: into('pages'),
    errors: log,
    logger: pino({ base: null }, log),
    isJson: false,
    style: makeStyle(false),
  })
  const now = { value: Date.now() }
  const session = new DevSession({
    paths: [manifests],
    dataFolder: folder.path,
    reporter,
    now: () => now.value,
    identities: new IdentityStore(
      folder,
      { now: () => now.value, random: randomBytes },
      { dnsNames: ['localhost'], ipAddresses: [] },
    ),
    provisioned: new ProvisionedDevices(folder),
    runners: new HubRunners({
      provision: async () => 'Failed',
      enrol: async () => ({ refusal: 'NOT_ENROLLABLE', detail: '' }),
      startBroker: async (options) => await new RecordingBroker(options, brokerLog).start(),
      bind: '127.0.0.1',
      file: folder.file,
      logger: pino({ level: 'silent' }),
      isPortFree: async () => true,
      observer: makeObserver({ reporter, host: 'localhost', file: (...parts) => join('.hublet', ...parts) }),
    }),
  })
  stops.push(
    () => session.stop(),
    async () => folder.close(),
  )
  const write = (...documents: string[]) => writeFileSync(manifests, documents.join('---\n'))
  return { session, write, brokerLog, texts, now }
}

describe('DevSession', () => {
  it('prints a page for a hub that comes up', async () => {
    const { session, write, texts } = makeSession()
    write(hubYaml(), deviceYaml('lamp'))
    expect(await session.start()).toMatchObject({ started: true })
    expect(texts.pages).toContain('Hub garden\n')
    expect(texts.pages).toContain('--cert .hublet/garden/devices/lamp/tls.crt')
  })

  it('starts nothing when the first look finds a problem', async () => {
    const { session, write, brokerLog } = makeSession()
    write(hubYaml('{ enabled: maybe }'))
    expect(await session.start()).toMatchObject({ started: false, problems: [{ line: 4 }] })
    expect(brokerLog).toEqual([])
  })

  it.each([
    ['breaks the syntax', 'spec: {', /expected valid YAML/],
    ['breaks a rule of the schema', hubYaml('{ replicas: 0 }'), /spec\.replicas/],
    ['asks for what cannot be done here', hubYaml('{ serverTLS: { secretRef: { name: x } } }'), /secretRef/],
    [
      'changes what cannot be changed',
      hubYaml() + '---\n' + deviceYaml('lamp', 'name: other'),
      /cannot be changed/,
    ],
  ])('lets the last good state go on when an edit %s', async (_, bad, expected) => {
    const { session, write, brokerLog, texts } = makeSession()
    write(hubYaml(), deviceYaml('lamp'))
    await session.start()
    write(bad)
    await session.reload()
    expect(texts.log).toMatch(expected)
    expect(texts.log).toContain('manifests not applied; what was good before goes on')
    expect(brokerLog).toEqual(['started garden'])
    write(hubYaml(), deviceYaml('lamp'), deviceYaml('pump'))
    await session.reload()
    expect(texts.log).toContain('the manifests are good again')
    expect(brokerLog).toEqual(['started garden', 'changed garden'])
  })

  it('applies what was written while it was applying something else', async () => {
    const { session, write, texts } = makeSession()
    write(hubYaml())
    await session.start()
    write(hubYaml(), deviceYaml('one'))
    const first = session.reload()
    // Let the first look read the folder before it changes again.
    await new Promise((resolve) => setTimeout(resolve, 5))
    write(hubYaml(), deviceYaml('one'), deviceYaml('two'))
    await Promise.all([first, session.reload(), session.reload()])
    expect(texts.pages).toContain('Device two')
  })

  it('tells a reference that nothing answers once', async () => {
    const { session, write, texts } = makeSession()
    const dangling = deviceYaml('lamp').replace('name: garden', 'name: nowhere')
    write(hubYaml(), dangling)
    await session.start()
    await session.reload()
    expect(texts.log.match(/names Hub nowhere, which is not in the folder/g)).toHaveLength(1)
  })

  it('renews certificates without a change of the manifests', async () => {
    const { session, write, brokerLog, now } = makeSession()
    write(hubYaml(), deviceYaml('lamp', 'certificate: { managed: { duration: 2h, renewBefore: 1h } }'))
    await session.start()
    await session.renew()
    expect(brokerLog).toEqual(['started garden'])
    now.value += 90 * 60_000
    await session.renew()
    expect(brokerLog).toEqual(['started garden', 'changed garden'])
  })

  it('does nothing more once it is stopped', async () => {
    const { session, write, brokerLog } = makeSession()
    write(hubYaml())
    await session.start()
    await session.stop()
    write(hubYaml(), hubYaml('{}', 'farm'))
    await session.reload()
    expect(brokerLog).toEqual(['started garden', 'stopped garden'])
  })

  it('answers what is asked of it while it stops', async () => {
    const { session, write } = makeSession()
    write(hubYaml(), deviceYaml('lamp'))
    await session.start()
    const asked = session.changeDevice({ call: 'rotate', device: 'lamp' })
    const stopped = session.stop()
    await expect(asked).rejects.toThrow('stopping')
    await stopped
    await expect(session.changeDevice({ call: 'rotate', device: 'lamp' })).rejects.toThrow('stopping')
    const request = { commonName: 'SN 1', fingerprint: '', sourceAddress: '', time: 0 }
    expect(await session.provision('garden', request)).toBe('Failed')
  })
})
