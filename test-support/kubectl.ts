import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { inject } from 'vitest'
import { runProgram } from './run-program.ts'
import { makeTempDir, removeTempDir } from './temp-dir.ts'

/** A real kubectl with every right, in one namespace, as a person at a shell has it. */
export class Kubectl {
  readonly #folder: string
  readonly #namespace: string

  private constructor(folder: string, namespace: string) {
    this.#folder = folder
    this.#namespace = namespace
  }

  static async create(namespace: string): Promise<Kubectl> {
    const folder = makeTempDir('kubectl')
    await writeFile(path.join(folder, 'config'), inject('kubeConfig'), { mode: 0o600 })
    return new Kubectl(folder, namespace)
  }

  /** Resolves to what it printed; rejects with its complaint when it fails. */
  async run(...args: string[]): Promise<string> {
    const where = ['--kubeconfig', path.join(this.#folder, 'config'), '--namespace', this.#namespace]
    const cache = ['--cache-dir', path.join(this.#folder, 'cache')]
    const result = await runProgram(inject('kubectl'), [...where, ...cache, ...args], { timeoutMs: 90_000 })
    if (result.code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${result.stderr || result.stdout}`)
    return result.stdout.toString()
  }

  /** Cells of one line of `kubectl get`, by the names of the columns in small letters. */
  async row(plural: string, name: string): Promise<Record<string, string>> {
    const [head = '', ...lines] = (await this.run('get', plural)).trimEnd().split('\n')
    const line = lines.find((text) => text.startsWith(`${name} `)) ?? ''
    const columns = [...head.matchAll(/\S+(?: \S+)*/g)]
    return Object.fromEntries(
      columns.map(({ 0: title, index }, n) => [
        title.toLowerCase(),
        line.slice(index, columns[n + 1]?.index).trim(),
      ]),
    )
  }

  /** Takes its kubeconfig from the disk. */
  close(): void {
    removeTempDir(this.#folder)
  }
}
