import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { network } from '../../test-support/hub-state.ts'
import { makeServerCertificate } from '../../test-support/openssl.ts'
import { type ProgramResult, runProgram } from '../../test-support/run-program.ts'
import { makeTempDir } from '../../test-support/temp-dir.ts'
import { PATIENCE_MS, within } from '../../test-support/wait.ts'
import { endpoint, send, TOKEN } from './network-endpoint.fixture.ts'
import { type TestSocket, testListeners } from './test-listeners.fixture.ts'

// What other programs than Node make of our HTTP, and time limits that take real seconds.

const LARGE = 8 * 1024 * 1024
const directory = makeTempDir('http')
const large = join(directory, 'large')
writeFileSync(large, Buffer.alloc(LARGE, 'x'))

async function curl(...args: string[]): Promise<ProgramResult> {
  const headers = ['-H', `X-Secret: ${TOKEN}`, '-H', 'X-Topic: a']
  return await runProgram('curl', ['-sS', '-w', '\n%{http_code}', '-X', 'POST', ...headers, ...args])
}

const statusOf = ({ stdout }: ProgramResult) => stdout.toString().split('\n').at(-1)

describe('curl', () => {
  it.each([
    ['that announces its size and waits for leave', ['-H', 'Expect: 100-continue']],
    ['that announces its size and just sends', ['-H', 'Expect:']],
    ['in chunks', ['-H', 'Transfer-Encoding: chunked']],
    ['in chunks without waiting', ['-H', 'Transfer-Encoding: chunked', '-H', 'Expect:']],
  ])('with a body too large %s reads why it was refused', async (_, args) => {
    await using listeners = await endpoint()
    const url = `http://127.0.0.1:${listeners.port('http')}/networks/rest`
    const result = await curl(...args, '--data-binary', `@${large}`, url)
    expect(statusOf(result)).toBe('413')
    expect(result.stdout.toString()).toContain('"code":"PAYLOAD_TOO_LARGE"')
    expect(listeners.host.published).toEqual([])
  })

  it.each([
    ['that waits for leave', ['-H', 'Expect: 100-continue']],
    ['in chunks', ['-H', 'Transfer-Encoding: chunked']],
    ['of HTTP/1.0', ['--http1.0']],
  ])('with a body of exactly the limit %s is served', async (_, args) => {
    await using listeners = await endpoint({ limits: { payloadBytes: LARGE } })
    const url = `http://127.0.0.1:${listeners.port('http')}/networks/rest`
    const result = await curl(...args, '--data-binary', `@${large}`, url)
    expect(result.stderr).toBe('')
    expect(statusOf(result)).toBe('204')
    expect(listeners.host.published[0]?.payload).toHaveLength(LARGE)
  })

  it('over TLS verifies the server and is asked for no certificate of its own', async () => {
    const { authority, server } = await makeServerCertificate()
    const credentials = { certificateChain: server.certPem, privateKey: server.keyPem }
    await using listeners = await testListeners(['https'], { credentials })
    listeners.host.networks = [network({ name: 'rest', token: TOKEN })]
    const port = listeners.port('https')
    const url = `https://localhost:${port}/networks/rest`
    expect(statusOf(await curl('--cacert', authority.certPath, '-d', 'x', url))).toBe('204')
    expect((await curl('-d', 'x', url)).code).not.toBe(0)
    const client = await runProgram('openssl', [
      's_client',
      '-connect',
      `127.0.0.1:${port}`,
      '-tls1_2',
      '-msg',
    ])
    expect(client.stdout.toString()).toContain('ServerHelloDone')
    expect(client.stdout.toString()).not.toContain('CertificateRequest')
  })
})

describe('a slow client', () => {
  it('that drips its headers, or says nothing, is cut off after 10 s while others are served', async () => {
    await using listeners = await endpoint()
    const silent = await listeners.dial('http')
    const dripping: TestSocket[] = []
    for (let i = 0; i < 20; i++) {
      const client = await listeners.dial('http')
      client.socket.write('POST /networks/rest HTTP/1.1\r\nHost: x\r\n')
      dripping.push(client)
    }
    const drip = setInterval(() => {
      for (const { socket } of dripping) socket.write('X: y\r\n')
    }, 500)
    expect(await send(listeners)).toMatchObject({ status: 204 })
    const ends = [silent, ...dripping].map(async ({ closed }) => await closed)
    await within('all cut off', PATIENCE_MS, Promise.all(ends))
    clearInterval(drip)
    expect(dripping[0]?.text).toMatch(/^HTTP\/1\.1 408 /)
    expect(dripping[0]?.text).toContain('application/problem+json')
    expect(await send(listeners)).toMatchObject({ status: 204 })
  })
})
