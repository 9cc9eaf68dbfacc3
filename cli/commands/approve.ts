import type { Writable } from 'node:stream'
import type { Device } from '../../crds/device.ts'
import { DEVICES } from '../../operator/api/resources.ts'
import { deviceName } from '../../operator/compile/device-record.ts'
import { objectKey, objectPath } from '../../operator/runtime/resource.ts'
import { NoControl } from '../../routes/control/control-client.ts'
import { type Connection, problemText } from '../cluster/connection.ts'
import { readDevices, withCluster } from '../cluster/read-objects.ts'
import type { ApproveAnswer } from '../dev/device-calls.ts'
import { askDev, devFolder, type PlaceFlags } from './running-dev.ts'

export interface ApproveOptions extends PlaceFlags {
  /** Of the Device object, or of the device itself. */
  names: readonly string[]
  /** Only devices of this hub. */
  hub: string | undefined
}

interface Surroundings {
  stdout: Writable
  stderr: Writable
}

/**
 * Lets devices in that made themselves known and wait for it.
 * @returns the exit code: 0 when all of them may come in now, also those that could before.
 */
export async function runApprove(options: ApproveOptions, surroundings: Surroundings): Promise<number> {
  const folder = devFolder(options)
  return folder === undefined
    ? await approveInCluster(options, surroundings)
    : await approveInDev(options, folder, surroundings)
}

async function approveInDev(
  { names, hub }: ApproveOptions,
  folder: string,
  { stdout, stderr }: Surroundings,
): Promise<number> {
  let answer: ApproveAnswer
  try {
    const call = { call: 'approve' as const, devices: [...names], ...(hub === undefined ? {} : { hub }) }
    answer = (await askDev(folder, call)) as ApproveAnswer
  } catch (error) {
    stderr.write(`hublet: ${error instanceof NoControl ? error.message : problemText(error)}\n`)
    return 1
  }
  if ('refusals' in answer) {
    for (const { message } of answer.refusals) stderr.write(`hublet: ${message}\n`)
    return 1
  }
  for (const { device, wasApproved } of answer.approved) stdout.write(outcome(device, wasApproved))
  return 0
}

async function approveInCluster(options: ApproveOptions, surroundings: Surroundings): Promise<number> {
  const { stdout, stderr } = surroundings
  const { namespace, context } = options
  const flags = {
    ...(namespace === undefined ? {} : { namespace }),
    ...(context === undefined ? {} : { context }),
  }
  return await withCluster(flags, surroundings, async (cluster) => {
    const devices = (await readDevices(cluster)).filter(
      ({ spec }) => options.hub === undefined || spec.hubRef.name === options.hub,
    )
    const chosen = options.names.map((name) => ({ name, found: matching(devices, name) }))
    const wrong = chosen.filter(({ found }) => found.length !== 1)
    for (const { name, found } of wrong)
      stderr.write(`hublet: ${JSON.stringify(name)}: expected one device, got ${found.length}\n`)
    // All or none: half a list would have to be sorted out by hand.
    if (wrong.length > 0) return 1
    for (const { found } of chosen) await approve(cluster, found[0]!, stdout)
    return 0
  })
}

const outcome = (device: string, wasApproved: boolean) =>
  wasApproved ? `device ${device} was approved already\n` : `device ${device} approved\n`

function matching(devices: readonly Device[], name: string): Device[] {
  const byObject = devices.filter(({ metadata }) => metadata.name === name)
  return byObject.length > 0 ? byObject : devices.filter((device) => deviceName(device) === name)
}

async function approve({ client }: Connection, { metadata, spec }: Device, stdout: Writable): Promise<void> {
  const { namespace, name, uid } = metadata
  if (spec.approved !== false) {
    stdout.write(outcome(name, true))
    return
  }
  await client.request({
    method: 'PATCH',
    path: objectPath(DEVICES, objectKey(namespace, name)),
    contentType: 'application/merge-patch+json',
    query: { fieldManager: 'hublet' },
    body: { metadata: { uid }, spec: { approved: true } },
  })
  stdout.write(outcome(name, false))
}
