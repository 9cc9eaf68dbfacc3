import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { makeTempDir } from '../test-support/temp-dir.ts'
import { deviceYaml, hubYaml, yaml } from './dev/manifests.fixture.ts'
import { hubletHere as run, hubletWith as runWith } from './hublet-here.fixture.ts'

function folder(files: Record<string, string>): string {
  const root = makeTempDir('program')
  for (const [name, content] of Object.entries(files)) writeFileSync(join(root, name), content)
  return root
}

const dataIn = (root: string) => join(root, '.hublet')

describe('hublet', () => {
  it('tells its version', async () => {
    expect(await run('--version')).toMatchObject({ code: 0, stdout: '1.2.3\n' })
  })

  it('explains itself', async () => {
    const { code, stdout } = await run('dev', '--help')
    expect(code).toBe(0)
    for (const option of ['-f', '--bind', '--data', '--log-level']) expect(stdout).toContain(option)
  })

  it.each([
    ['an unknown command', ['serve']],
    ['an unknown option', ['dev', '-f', '.', '--port', '1']],
    ['dev without manifests', ['dev']],
    ['an unknown log level', ['dev', '-f', '.', '--log-level', 'loud']],
  ])('ends with 2 on %s, and says what is wrong', async (_, args) => {
    const { code, stderr } = await run(...args)
    expect(code).toBe(2)
    expect(stderr).toMatch(/error: /)
  })
})

describe('hublet validate', () => {
  it('counts what is valid', async () => {
    const root = folder({ 'a.yaml': `${hubYaml()}---\n${deviceYaml('lamp')}` })
    expect(await run('validate', '-f', root)).toEqual({
      code: 0,
      stdout: '2 objects are valid: 1 Hub, 1 Device, 0 Network, 0 Route\n',
      stderr: '',
    })
  })

  it('takes several paths together', async () => {
    const [one, two] = [folder({ 'a.yaml': hubYaml() }), folder({ 'b.yaml': deviceYaml('lamp') })]
    expect((await run('validate', '-f', one, '-f', two)).stdout).toMatch(/^2 objects/)
  })

  it('ends with 1 on a problem, with file, line and field', async () => {
    const root = folder({ 'a.yaml': hubYaml('{ enabled: maybe }') })
    const { code, stderr } = await run('validate', '-f', root)
    expect(code).toBe(1)
    expect(stderr).toMatch(/a\.yaml:4: spec\.enabled: .*, got "maybe"\n1 problem found\n$/)
  })

  it('notes a reference that nothing in the folder answers', async () => {
    const { code, stderr } = await run('validate', '-f', folder({ 'a.yaml': deviceYaml('lamp') }))
    expect(code).toBe(0)
    expect(stderr).toMatch(/^note: .*spec\.hubRef names Hub garden, which is not in the folder\n$/)
  })
})

describe('hublet validate of a Route', () => {
  const route = (fields: string) =>
    'apiVersion: iot.hublet.dev/v1alpha1\nkind: Route\nmetadata: { name: out }\n' +
    `spec:\n  hubRef: { name: garden }\n  topic: "#"\n${fields}`
  const rest = '  rest: { url: "https://example.com/" }\n'
  const database = (query: string) =>
    `  database: { host: db, database: iot, credentialsSecretRef: { name: db }, query: "${query}" }\n`

  it.each([
    [
      'a filter with an unknown name',
      `${rest}  filter: { expression: "nope > 1" }\n`,
      8,
      'spec.filter.expression: expected an expression in CEL, got "nope > 1" (Unknown variable: nope)',
    ],
    [
      'a transform that is unfinished',
      `${rest}  transform:\n    expression: "1 +"\n`,
      9,
      'spec.transform.expression: expected an expression in CEL, got "1 +" (Unexpected token: EOF)',
    ],
    [
      'a transform in another language',
      `${rest}  transform:\n    language: JSONata\n    expression: "t **"\n`,
      10,
      'spec.transform.expression: expected an expression in JSONata, got "t **" (',
    ],
    [
      'a query with placeholders of its own',
      database('SELECT $1'),
      7,
      'spec.database.query: expected a query with no placeholders but $TOPIC, $PAYLOAD, $TIME, $DEVICE, $QOS, ' +
        '$RETAIN, $ID, got $1',
    ],
  ])('says what is wrong with %s', async (_, fields, line, expected) => {
    const { code, stderr } = await runWith(route(fields), 'validate', '-f', '-')
    expect(code).toBe(1)
    expect(stderr).toContain(`stdin:${line}: ${expected}`)
    expect(stderr).toMatch(/1 problem found\n$/)
  })

  it('takes expressions that the route worker takes', async () => {
    const good = `${rest}  filter: { expression: "json.t > 1.0" }\n  transform: { expression: "$uppercase(payload)", language: JSONata }\n`
    expect((await runWith(route(good), 'validate', '-f', '-')).code).toBe(0)
    expect((await runWith(route(database('SELECT $TOPIC')), 'validate', '-f', '-')).code).toBe(0)
  })
})

describe('hublet validate in a pipeline', () => {
  const APPLICATION = 'apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: { name: iot }\n'

  it('reads what another program writes', async () => {
    const { code, stdout } = await runWith(`${hubYaml()}---\n${deviceYaml('lamp')}`, 'validate', '-f', '-')
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringMatching(/^2 objects are valid/) })
  })

  it('tells problems as JSON, with their place', async () => {
    const { code, stdout } = await runWith(hubYaml('{ enabled: maybe }'), 'validate', '-f', '-', '-o', 'json')
    expect(code).toBe(1)
    expect(JSON.parse(stdout)).toEqual({
      valid: false,
      objects: {},
      skipped: 0,
      problems: [
        {
          file: 'stdin',
          line: 4,
          field: 'spec.enabled',
          expected: 'must be of type boolean',
          got: '"maybe"',
        },
      ],
      notes: [],
    })
  })

  it('fails on an open reference when it is to be strict', async () => {
    const args = ['validate', '-f', '-', '-o', 'json']
    const lenient = await runWith(deviceYaml('lamp'), ...args)
    const strict = await runWith(deviceYaml('lamp'), ...args, '--strict')
    expect([lenient.code, strict.code]).toEqual([0, 1])
    expect(JSON.parse(strict.stdout)).toMatchObject({
      valid: false,
      problems: [],
      notes: [expect.any(String)],
    })
  })

  it('passes over the kinds of others when told so, and never over a misspelt one of ours', async () => {
    const repository = `${APPLICATION}---\n${hubYaml()}`
    expect((await runWith(repository, 'validate', '-f', '-')).code).toBe(1)
    const skipped = await runWith(repository, 'validate', '-f', '-', '--skip-other-kinds')
    expect(skipped.stdout).toBe(
      '1 objects are valid: 1 Hub, 0 Device, 0 Network, 0 Route; 1 of other kinds were not looked at\n',
    )
    const misspelt = repository.replace('kind: Hub', 'kind: Hubb')
    expect((await runWith(misspelt, 'validate', '-f', '-', '--skip-other-kinds')).code).toBe(1)
  })
})

describe('hublet dev that cannot start', () => {
  it.each([
    [
      'bad manifests',
      { 'a.yaml': hubYaml('{ enabled: maybe }') },
      /a\.yaml:4: spec\.enabled: .*\n.*not valid/,
    ],
    ['no hub', { 'a.yaml': deviceYaml('lamp') }, /expected at least one Hub, got none/],
    ['a broker that fails', { 'a.yaml': hubYaml() }, /hub garden could not be started: no broker is to be/],
  ])('ends with 1 because of %s', async (_, files, expected) => {
    const root = folder(files)
    const { code, stderr } = await run('dev', '-f', root, '--data', dataIn(root))
    expect([code, stderr]).toEqual([1, expect.stringMatching(expected)])
  })

  it('refuses an address that is none before it writes anything', async () => {
    const root = folder({ 'a.yaml': hubYaml() })
    const { code, stderr } = await run('dev', '-f', root, '--data', dataIn(root), '--bind', 'my-laptop')
    expect([code, stderr]).toEqual([1, expect.stringContaining('--bind: expected an IP address')])
    expect(existsSync(dataIn(root))).toBe(false)
  })

  it('refuses a data folder that holds other things', async () => {
    const root = folder({ 'a.yaml': hubYaml() })
    mkdirSync(join(root, 'src'))
    writeFileSync(join(root, 'src', 'main.c'), '')
    const { code, stderr } = await run('dev', '-f', root, '--data', join(root, 'src'))
    expect([code, stderr]).toEqual([1, expect.stringContaining('expected an empty folder or one of hublet')])
  })
})

describe('hublet can-i', () => {
  const filters = (rule: string) => `messageFilters: { publish: ${rule} }`
  const manifests = () =>
    folder({
      'hub.yaml': hubYaml(),
      'lamp.yaml': deviceYaml('lamp', filters("{ policy: Accept, topics: ['lamps/{{device.name}}/#'] }")),
      'fan.yaml': deviceYaml('fan', 'allowInsecure: true'),
    })

  it.each([
    [['lamp', 'publish', 'lamps/lamp/on'], 0, 'yes: the publish filter accepts lamps/lamp/#\n'],
    [
      ['lamp', 'publish', 'lamps/fan/on'],
      1,
      'no: the publish filter accepts only lamps/lamp/# (UNAUTHORIZED_TOPIC)\n',
    ],
    [['lamp', 'subscribe', '#'], 0, 'yes: the subscribe filter rejects nothing\n'],
    [['fan', 'publish', 'a/+'], 1, undefined],
  ])('%j answers by the exit code and names the rule', async (args, code, stdout) => {
    const told = await run('can-i', ...args, '-f', manifests())
    expect(told).toMatchObject({ code, stderr: '', ...(stdout === undefined ? {} : { stdout }) })
  })

  it('lists the ways to connect', async () => {
    const { code, stdout } = await run('can-i', 'lamp', 'connect', '-f', manifests())
    expect(code).toBe(0)
    expect(stdout).toMatch(/^mqtts {2}with its certificate {2}yes: /m)
    expect(stdout).toMatch(/^mqtt {3}by its id {13}no: .*\(MTLS_REQUIRED\)$/m)
    expect((await run('can-i', 'fan', 'connect', '-f', manifests())).stdout).toMatch(
      /^ws {5}by its id {13}yes: /m,
    )
  })

  it('says what is missing', async () => {
    const path = manifests()
    expect((await run('can-i', 'nobody', 'connect', '-f', path)).stderr).toContain('got "nobody"')
    expect((await run('can-i', 'lamp', 'publish', '-f', path)).stderr).toContain('expected a topic')
    expect((await run('can-i', 'lamp', 'fly', '-f', path)).code).toBe(2)
  })

  it('tells of tokens: of the account of a program, and of networks', async () => {
    const path = folder({
      'hub.yaml': hubYaml(),
      'reports.yaml': deviceYaml('reports', 'serviceAccount: { name: reports }'),
      'web.yaml': yaml('Network', 'web', '{ hubRef: { name: garden }, type: REST, topicPrefix: web }'),
    })
    const ways = (await run('can-i', 'reports', 'connect', '-f', path)).stdout
    expect(ways).toMatch(
      /^mqtts {2}by a token of its account {2}yes: .*default\/reports for hub-garden\.default\.svc is its password$/m,
    )
    expect(ways).toMatch(
      /^mqtt {3}by a token of its account {2}no: .*not encrypted.*\(SERVICE_TOKEN_REFUSED\)$/m,
    )
    const web = await run('can-i', 'web', 'publish', 'a/1', '--network', '-f', path)
    expect(web).toMatchObject({ code: 0, stdout: expect.stringMatching(/^yes: .* arrives on web\/a\/1\n$/) })
    const wrong = await run('can-i', 'web', 'publish', 'a/#', '--network', '-f', path)
    expect(wrong).toMatchObject({ code: 1, stdout: expect.stringContaining('(BAD_NETWORK_REQUEST)') })
    expect((await run('can-i', 'web', 'connect', '--network', '-f', path)).stderr).toContain(
      'expected publish',
    )
    expect((await run('can-i', 'reports', 'publish', 'a', '--network', '-f', path)).stderr).toContain(
      'expected a REST or Sigfox network of a hub here, got "reports"',
    )
    expect((await run('can-i', 'web', 'publish', 'a', '-f', path)).stderr).toContain('expected a device')
  })

  it('asks for the hub where two have a device of the name', async () => {
    const of = (hub: string, name: string, fields = '') =>
      yaml('Device', name, `{ hubRef: { name: ${hub} }${fields} }`)
    const path = folder({
      'a.yaml': `${hubYaml('{}', 'one')}---\n${hubYaml('{}', 'two')}`,
      'b.yaml': `${of('one', 'lamp')}---\n${of('two', 'lamp2', ', name: lamp')}`,
    })
    expect((await run('can-i', 'lamp', 'connect', '-f', path)).stderr).toContain('--hub')
    expect((await run('can-i', 'lamp', 'connect', '-f', path, '--hub', 'two')).code).toBe(0)
  })
})
