import { type ChildProcess, fork } from 'node:child_process'
import type { ListenerName } from '../broker/policy/link.ts'
import type { HubState, ServerCredentials } from '../contract/hub-state.ts'
import { hubState } from './hub-state.ts'
import { makeServerCertificate } from './openssl.ts'

export type Question =
  | {
      ask: 'start'
      state: HubState
      listeners: readonly ListenerName[]
      credentials: ServerCredentials
      /** File of its SQLite store; absent: it keeps everything in memory. */
      storePath: string | undefined
    }
  | { ask: 'replace'; state: HubState }
  | { ask: 'memory' }
  | { ask: 'events' }
  | { ask: 'stop' }

export interface Answer {
  ports?: Readonly<Partial<Record<ListenerName, number>>>
  memory?: NodeJS.MemoryUsage
  eventCounts?: Record<string, number>
}

interface Waiting {
  resolve(answer: Answer): void
  reject(error: Error): void
}

/** The handle of a broker that runs in a child process; a crash of it rejects whatever is asked then. */
export class BrokerProcess {
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, Waiting>()
  #ports: Answer['ports'] = {}
  #nextId = 1
  /** How it ended; undefined while it lives. */
  ending: string | undefined

  constructor() {
    this.#child = fork(`${import.meta.dirname}/broker-child.ts`, {
      execArgv: ['--expose-gc'],
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    this.#child.on('message', (message) => {
      const { id, value, error } = message as { id: number; value: Answer; error?: string }
      const waiting = this.#waiting.get(id)
      this.#waiting.delete(id)
      if (error === undefined) waiting?.resolve(value)
      else waiting?.reject(new Error(error))
    })
    this.#child.once('exit', (code, signal) => {
      this.ending = `the broker process ended with ${signal ?? `code ${code}`}`
      for (const { reject } of this.#waiting.values()) reject(new Error(this.ending))
    })
  }

  port(listener: ListenerName): number {
    const port = this.#ports?.[listener]
    if (port === undefined) throw new Error(`the ${listener} listener is not open`)
    return port
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  async start(state: HubState, listeners: readonly ListenerName[], storePath?: string): Promise<void> {
    const { server } = await makeServerCertificate()
    const credentials = { certificateChain: server.certPem, privateKey: server.keyPem }
    this.#ports = (await this.#ask({ ask: 'start', state, listeners, credentials, storePath })).ports
  }

  async replace(state: HubState): Promise<void> {
    await this.#ask({ ask: 'replace', state })
  }

  /** After garbage collections. */
  async memory(): Promise<NodeJS.MemoryUsage> {
    const { memory } = await this.#ask({ ask: 'memory' })
    if (memory === undefined) throw new Error('no memory figures')
    return memory
  }

  /** Event code → how often, before rate limiting. */
  async eventCounts(): Promise<Record<string, number>> {
    return (await this.#ask({ ask: 'events' })).eventCounts ?? {}
  }

  /** SIGKILL; resolves when the process is gone. */
  async kill(): Promise<void> {
    if (this.ending !== undefined) return
    const exited = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.kill('SIGKILL')
    await exited
  }

  async stop(): Promise<void> {
    if (this.ending !== undefined) return
    await this.#ask({ ask: 'stop' })
    this.#child.kill('SIGKILL')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A test that has failed must not wait for a broker that may hang.
    this.#child.kill('SIGKILL')
  }

  async #ask(question: Question): Promise<Answer> {
    if (this.ending !== undefined) throw new Error(this.ending)
    const id = this.#nextId++
    return await new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#child.send({ ...question, id })
    })
  }
}

export async function startBrokerProcess(
  parts: Partial<Omit<HubState, 'version'>>,
  listeners: readonly ListenerName[] = ['mqtt'],
): Promise<BrokerProcess> {
  const broker = new BrokerProcess()
  await broker.start(hubState(parts), listeners)
  return broker
}
