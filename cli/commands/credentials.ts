import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Writable } from 'node:stream'
import { DEVICES, type Device, HUBS, type Hub, SECRETS, type Secret } from '../../operator/api/resources.ts'
import { objectKey, objectPath, type Resource } from '../../operator/runtime/resource.ts'
import { ClusterError, type Connection } from '../cluster/connection.ts'
import { quote } from '../print/shell.ts'

export interface CredentialsOptions {
  device: string
  /** A folder named as the device when left out. */
  out: string | undefined
  /** Replaces files that are there. */
  force: boolean
}

/** What a client needs, as the Secret of a device has it. */
const FILES = ['ca.crt', 'tls.crt', 'tls.key'] as const

/**
 * Writes certificate, key and the CA of the hub into a folder, for the owner alone, and prints how to connect.
 * @returns the exit code.
 */
export async function runCredentials(
  { device: name, out = name, force }: CredentialsOptions,
  { client, namespace }: Connection,
  { stdout }: { stdout: Writable },
): Promise<number> {
  const get = async <T>(resource: Resource, object: string) =>
    (await client.request<T>({ method: 'GET', path: objectPath(resource, objectKey(namespace, object)) }))
      .body
  const device = await get<Device>(DEVICES, name)
  const secretName = device.status?.certificate?.secretName
  if (secretName === undefined)
    throw new ClusterError(
      `Device ${name}: expected a certificate that the operator made, got ${device.status?.certificate?.source ?? 'none yet'}`,
    )
  const { data = {} } = await get<Secret>(SECRETS, secretName)
  const missing = FILES.filter((file) => data[file] === undefined)
  if (missing.length > 0)
    throw new ClusterError(
      `Secret ${secretName}: expected ${FILES.join(', ')}, got none of ${missing.join(', ')}`,
    )
  write(out, data, force)
  const hub = await get<Hub>(HUBS, device.spec.hubRef.name)
  const url = hub.status?.endpoints?.find((endpoint) => endpoint.name === 'mqtts')?.url
  stdout.write(`${FILES.map((file) => join(out, file)).join('\n')}\n`)
  if (url !== undefined) stdout.write(`\n${publishCommand(url, out)}\n`)
  return 0
}

function write(folder: string, data: Readonly<Record<string, string>>, force: boolean): void {
  const there = FILES.map((file) => join(folder, file)).filter((path) => existsSync(path))
  if (there.length > 0 && !force)
    throw new ClusterError(`expected no file ${there[0]}, as it is not replaced without --force`)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  for (const file of FILES) {
    const path = join(folder, file)
    writeFileSync(path, Buffer.from(data[file] ?? '', 'base64'), { mode: 0o600 })
    // Of a file that was there, `mode` changes nothing.
    chmodSync(path, 0o600)
  }
}

function publishCommand(url: string, folder: string): string {
  const { hostname, port } = new URL(url)
  const files = [
    ['--cafile', 'ca.crt'],
    ['--cert', 'tls.crt'],
    ['--key', 'tls.key'],
  ] as const
  const options = files.map(([option, file]) => `${option} ${quote(join(folder, file))}`).join(' ')
  return `mosquitto_sub -h ${hostname} -p ${port} ${options} -t '#' -v`
}
