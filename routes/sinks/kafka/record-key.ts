import type { RouteEntry } from '../../../contract/route-stream.ts'
import type { RouteSpec } from '../../../crds/route.ts'

/** Undefined: none. */
export const recordKey = (
  key: NonNullable<RouteSpec['kafka']>['key'],
  { topic, deviceId }: RouteEntry,
): string | undefined => ({ Topic: topic, Device: deviceId ?? topic, None: undefined })[key]
