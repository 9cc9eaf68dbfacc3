import { Readable, Writable } from 'node:stream'
import { runProgram } from './program.ts'

export interface HubletResult {
  code: number
  stdout: string
  stderr: string
}

/** One command line in this process and its working directory: starting one for each would take most of the time. */
export const hubletHere = (...args: string[]): Promise<HubletResult> => hubletWith('', ...args)

/** The same, with something on its standard input. */
export async function hubletWith(stdin: string, ...args: string[]): Promise<HubletResult> {
  const output = { stdout: '', stderr: '' }
  const into = (name: 'stdout' | 'stderr') =>
    new Writable({
      write(chunk, _, done) {
        output[name] += String(chunk)
        done()
      },
    })
  const code = await runProgram(args, {
    version: '1.2.3',
    stdin: Readable.from([stdin]),
    stdout: into('stdout'),
    stderr: into('stderr'),
    env: {},
    startBroker: async () => {
      throw new Error('no broker is to be started here')
    },
    signal: AbortSignal.abort(),
  })
  return { code, ...output }
}
