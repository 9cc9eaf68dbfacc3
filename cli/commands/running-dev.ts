/** Which of both worlds a command is about: a running `hublet dev`, or a cluster. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { askControl, CONTROL_FILE } from '../../routes/control/control-client.ts'
import type { ApproveCall, DeviceCall } from '../dev/device-calls.ts'

const DEFAULT_DATA = '.hublet'

export interface PlaceFlags {
  /** Data folder of a running hublet; undefined: `.hublet` where one is running, else the cluster. */
  data?: string | undefined
  namespace?: string | undefined
  context?: string | undefined
}

/** The data folder of the `hublet dev` that is meant; undefined: a cluster is. */
export function devFolder({ data, namespace, context }: PlaceFlags): string | undefined {
  if (data !== undefined) return data
  if (namespace !== undefined || context !== undefined) return undefined
  return existsSync(join(DEFAULT_DATA, CONTROL_FILE)) ? DEFAULT_DATA : undefined
}

/** Asks the process that has the folder. Rejects with `NoControl` when there is none. */
export const askDev = (folder: string, call: DeviceCall | ApproveCall): Promise<unknown> =>
  askControl(join(folder, CONTROL_FILE), call)
