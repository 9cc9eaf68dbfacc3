import { existsSync, mkdirSync } from 'node:fs'
import { Agent } from 'node:https'
import { join } from 'node:path'
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  S3Client,
} from '@aws-sdk/client-s3'
import { freePort } from './free-port.ts'
import { canConnect } from './mosquitto.ts'
import { RunningProgram } from './run-program.ts'
import { makeTempDir, removeTempDir } from './temp-dir.ts'
import { waitUntil } from './wait.ts'

const LONGEST_RUN_MS = 3_600_000
const BUILT = join(import.meta.dirname, '../.cache/tools/versitygw')

export interface StoredObject {
  key: string
  body: Buffer
  contentType: string | undefined
  contentEncoding: string | undefined
  metadata: Record<string, string>
  modified: Date | undefined
}

/** A real S3 service (versitygw over a folder) that checks signatures, on a free port of 127.0.0.1. */
export class S3Server {
  readonly port: number
  readonly accessKeyId = 'hublet'
  readonly secretAccessKey = 'open sesame'
  readonly #dir = makeTempDir('s3')
  readonly #client: S3Client
  #program: RunningProgram | undefined

  readonly #tls: { certPath: string; keyPath: string } | undefined

  /** With `tls`, PEM files of its certificate, it speaks https only. */
  constructor(port: number, tls?: { certPath: string; keyPath: string }) {
    this.port = port
    this.#tls = tls
    const { accessKeyId, secretAccessKey, url: endpoint } = this
    const credentials = { accessKeyId, secretAccessKey }
    const requestHandler = { httpsAgent: new Agent({ rejectUnauthorized: false }) }
    this.#client = new S3Client({
      region: 'us-east-1',
      endpoint,
      forcePathStyle: true,
      credentials,
      ...(tls === undefined ? {} : { requestHandler }),
    })
  }

  get url(): string {
    return `${this.#tls === undefined ? 'http' : 'https'}://127.0.0.1:${this.port}`
  }

  async start(): Promise<void> {
    const [data, sidecar] = [join(this.#dir, 'data'), join(this.#dir, 'meta')]
    for (const folder of [data, sidecar]) mkdirSync(folder, { recursive: true })
    const access = ['--access', this.accessKeyId, '--secret', this.secretAccessKey]
    const server = ['--port', `127.0.0.1:${this.port}`, '--region', 'us-east-1', '--quiet']
    const tls = this.#tls === undefined ? [] : ['--cert', this.#tls.certPath, '--key', this.#tls.keyPath]
    // Not every file system of a build machine has extended attributes.
    const args = [...access, ...server, ...tls, 'posix', '--sidecar', sidecar, data]
    const program = new RunningProgram(existsSync(BUILT) ? BUILT : 'versitygw', args, {
      timeoutMs: LONGEST_RUN_MS,
    })
    this.#program = program
    await waitUntil(
      'versitygw answers',
      async () => {
        if (program.ended) throw new Error(`${program.stdout}${program.stderr}`)
        return await canConnect(this.port)
      },
      { timeoutMs: 15_000 },
    )
  }

  async createBucket(bucket: string): Promise<void> {
    await this.#client.send(new CreateBucketCommand({ Bucket: bucket }))
  }

  /** What is in the bucket, by key; it is empty after. */
  async takeObjects(bucket: string): Promise<StoredObject[]> {
    const { Contents = [] } = await this.#client.send(new ListObjectsV2Command({ Bucket: bucket }))
    const objects: StoredObject[] = []
    for (const { Key: key = '' } of Contents) {
      const found = await this.#client.send(new GetObjectCommand({ Bucket: bucket, Key: key }))
      objects.push({
        key,
        body: Buffer.from((await found.Body?.transformToByteArray()) ?? []),
        contentType: found.ContentType,
        contentEncoding: found.ContentEncoding,
        metadata: found.Metadata ?? {},
        modified: found.LastModified,
      })
      await this.#client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }))
    }
    return objects
  }

  /** `start` brings it back, with what was in it. */
  async kill(): Promise<void> {
    await this.#program?.stop('SIGKILL')
  }

  async stop(): Promise<void> {
    this.#client.destroy()
    await this.kill()
    removeTempDir(this.#dir)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }
}

export async function startS3(tls?: { certPath: string; keyPath: string }): Promise<S3Server> {
  const server = new S3Server(await freePort(), tls)
  await server.start()
  return server
}
