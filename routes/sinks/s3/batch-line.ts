import { isUtf8 } from 'node:buffer'
import type { RouteEntry } from '../../../contract/route-stream.ts'

/** One message as a line of JSON: `payload` where it is text, else `payloadBase64`. */
export function batchLine({
  id,
  time,
  topic,
  payload,
  qos,
  retain,
  deviceId,
  contentType,
}: RouteEntry): Buffer {
  const line = {
    id,
    time: new Date(time).toISOString(),
    topic,
    ...(isUtf8(payload) ? { payload: payload.toString() } : { payloadBase64: payload.toString('base64') }),
    qos,
    retain,
    ...(deviceId === undefined ? {} : { device: deviceId }),
    ...(contentType === undefined ? {} : { contentType }),
  }
  return Buffer.from(`${JSON.stringify(line)}\n`)
}
