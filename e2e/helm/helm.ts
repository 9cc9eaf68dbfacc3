import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { parseAllDocuments } from 'yaml'
import type { KubeObject } from '../../operator/runtime/resource.ts'
import { type ProgramResult, runProgram } from '../../test-support/run-program.ts'
import { findTool } from './find-tool.ts'

export const CHARTS = path.resolve(import.meta.dirname, '../../charts')
/** The oldest Kubernetes that the charts take. */
export const KUBE_VERSION = '1.33.0'

export interface Release {
  chart: 'hublet' | 'hublet-crds'
  release?: string
  namespace: string
  values?: object
}

/** The objects of a stream of YAML. */
export const readObjects = (text: string): KubeObject[] =>
  parseAllDocuments(text)
    .map((document) => document.toJS() as KubeObject | null)
    .filter((object) => object !== null)

/** One helm, with a folder for the values that it is given. */
export class Helm {
  readonly #program: string
  readonly #folder: string
  #files = 0

  private constructor(program: string, folder: string) {
    this.#program = program
    this.#folder = folder
  }

  static async find(folder: string): Promise<Helm> {
    return new Helm(await findTool('helm'), folder)
  }

  /** helm keeps everything of its own in the folder too. */
  run(...args: string[]): Promise<ProgramResult> {
    const env = {
      HELM_CACHE_HOME: this.#folder,
      HELM_CONFIG_HOME: this.#folder,
      HELM_DATA_HOME: this.#folder,
    }
    return runProgram(this.#program, args, { env, timeoutMs: 60_000 })
  }

  async template({ chart, release = 'hublet', namespace, values = {} }: Release): Promise<ProgramResult> {
    this.#files += 1
    const file = path.join(this.#folder, `values-${this.#files}.json`)
    await writeFile(file, JSON.stringify(values))
    const where = ['--namespace', namespace, '--kube-version', KUBE_VERSION]
    return this.run('template', release, path.join(CHARTS, chart), ...where, '--values', file)
  }

  /** The objects of a release; throws what helm says where it refuses. */
  async objects(release: Release): Promise<KubeObject[]> {
    const { code, stdout, stderr } = await this.template(release)
    if (code !== 0) throw new Error(stderr)
    return readObjects(stdout.toString())
  }
}
