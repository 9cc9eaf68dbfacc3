/** `hublet rotate` and `hublet revoke`: of a running `hublet dev`, or of a cluster. */
import type { Writable } from 'node:stream'
import { NoControl } from '../../routes/control/control-client.ts'
import { problemText } from '../cluster/connection.ts'
import type { DeviceAnswer, DeviceCall } from '../dev/device-calls.ts'
import { revokeInCluster, rotateCaInCluster, rotateInCluster } from './certificates-in-cluster.ts'
import { askDev, devFolder } from './running-dev.ts'

export interface CertificateOptions {
  /** A device, or a hub where a CA is asked for. */
  name: string
  change: DeviceCall['call']
  /** Instead of the certificate of a device. */
  ca: 'device' | 'server' | undefined
  hub: string | undefined
  /** Data folder of a running hublet; undefined: `.hublet` where one is running, else the cluster. */
  data: string | undefined
  /** Of the cluster; undefined: those of the kubeconfig. */
  namespace: string | undefined
  context: string | undefined
}

interface Surroundings {
  stdout: Writable
  stderr: Writable
}

/** Exit code: 0 once it is in force, 1 when it is not, or nobody knows of such a device. */
export async function runCertificateChange(
  options: CertificateOptions,
  surroundings: Surroundings,
): Promise<number> {
  const { stdout, stderr } = surroundings
  try {
    const folder = devFolder(options)
    const told = folder === undefined ? await inCluster(options) : await inDev(options, folder)
    stdout.write(`${told}\n`)
    return 0
  } catch (error) {
    const isOurs = error instanceof NoControl || error instanceof DevRefusal
    stderr.write(`hublet: ${isOurs ? error.message : problemText(error)}\n`)
    return 1
  }
}

class DevRefusal extends Error {
  override readonly name = 'DevRefusal'
}

const DONE: Record<DeviceCall['call'], string> = {
  rotate: 'has a new certificate; the one before is accepted until the new one was used',
  revoke: 'is revoked: it is cut off, and its certificates are refused until they expire',
  restore: 'may connect again, by a new certificate',
}

/** Where the device asks for its certificates itself. */
const DONE_BY_TOKEN: Record<DeviceCall['call'], string> = {
  rotate: 'has a new token, by which it may ask for its next certificate',
  revoke: DONE.revoke,
  restore: 'may ask for a certificate by a new token',
}

async function inDev({ name, change, ca, hub }: CertificateOptions, folder: string): Promise<string> {
  if (ca !== undefined)
    throw new DevRefusal(
      `rotate: hublet dev (${folder}) keeps its authorities; a cluster is meant with --namespace`,
    )
  const call: DeviceCall = { call: change, device: name, ...(hub === undefined ? {} : { hub }) }
  const answer = (await askDev(folder, call)) as DeviceAnswer
  if ('refused' in answer) throw new DevRefusal(answer.message)
  const done = answer.isAskedFor ? DONE_BY_TOKEN[change] : DONE[change]
  return `device ${answer.device} of hub ${answer.hub} in hublet dev (${folder}) ${done}`
}

async function inCluster({ name, change, ca, namespace, context }: CertificateOptions): Promise<string> {
  const target = {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(context === undefined ? {} : { context }),
  }
  if (ca !== undefined) return await rotateCaInCluster(target, ca)
  if (change === 'rotate') {
    const { where, isAskedFor } = await rotateInCluster(target)
    return `device ${where} ${(isAskedFor ? DONE_BY_TOKEN : DONE).rotate}`
  }
  return `device ${await revokeInCluster(target, change)} ${DONE[change]}`
}
