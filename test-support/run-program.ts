import { type ChildProcess, spawn } from 'node:child_process'
import { delimiter } from 'node:path'
import { PATIENCE_MS, waitUntil } from './wait.ts'

/** Debian keeps the mosquitto broker in sbin, which a plain user's PATH leaves out. */
const PATH = [process.env['PATH'], '/usr/sbin', '/usr/local/sbin', '/opt/homebrew/sbin'].join(delimiter)

export interface ProgramOptions {
  /** Killed after this long; the result then says so. Default 60 s. */
  timeoutMs?: number
  input?: string | Buffer
  env?: NodeJS.ProcessEnv
  cwd?: string
}

export interface ProgramResult {
  /** `null` when a signal ended it. */
  code: number | null
  stdout: Buffer
  stderr: string
  timedOut: boolean
}

const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** A started program whose output is collected while it runs. It never outlives this process. */
export class RunningProgram {
  readonly child: ChildProcess
  readonly exited: Promise<ProgramResult>
  readonly #stdout: Buffer[] = []
  readonly #stderr: Buffer[] = []
  #timedOut = false

  constructor(command: string, args: readonly string[], options: ProgramOptions = {}) {
    const { timeoutMs = 60_000, input, env, cwd } = options
    const child = spawn(command, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, PATH, ...env },
      ...(cwd === undefined ? {} : { cwd }),
    })
    this.child = child
    running.add(child)
    const timer = setTimeout(() => {
      this.#timedOut = true
      child.kill('SIGKILL')
    }, timeoutMs)
    child.stdout.on('data', (chunk: Buffer) => this.#stdout.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => this.#stderr.push(chunk))
    // A program that ends without reading its input breaks the pipe; its exit code tells the story.
    child.stdin.on('error', () => {})
    child.stdin.end(input)
    this.exited = new Promise((resolve, reject) => {
      const done = () => {
        clearTimeout(timer)
        running.delete(child)
      }
      child.once('error', (error) => {
        done()
        reject(new Error(`cannot start ${command}: ${error.message} (scripts/test-tools.sh)`))
      })
      child.once('close', (code) => {
        done()
        resolve({ code, stdout: this.stdout, stderr: this.stderr, timedOut: this.#timedOut })
      })
    })
    // Whoever awaits `exited` sees the failure; nobody has to.
    this.exited.catch(() => {})
  }

  get stdout(): Buffer {
    return Buffer.concat(this.#stdout)
  }

  get stderr(): string {
    return Buffer.concat(this.#stderr).toString()
  }

  /** Complete lines written to stdout so far. */
  get lines(): string[] {
    return this.stdout.toString().split('\n').slice(0, -1)
  }

  get ended(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null
  }

  /** Waits for a line of stdout; rejects early when the program ends without it. */
  async waitForLine(
    matches: (line: string) => boolean,
    what: string,
    timeoutMs = PATIENCE_MS,
  ): Promise<string> {
    const line = await waitUntil(what, () => this.lines.find(matches) ?? (this.ended ? 'ended' : undefined), {
      timeoutMs,
    })
    // A last look: output may still be read after the exit is known.
    if (line !== 'ended') return line
    await this.exited
    const late = this.lines.find(matches)
    if (late === undefined) throw new Error(`${what}: the program ended first. ${this.stdout}${this.stderr}`)
    return late
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<ProgramResult> {
    if (!this.ended) this.child.kill(signal)
    return await this.exited
  }
}

/** Runs a program to its end. A non-zero exit is a result, not an error. */
export async function runProgram(
  command: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<ProgramResult> {
  return await new RunningProgram(command, args, options).exited
}
