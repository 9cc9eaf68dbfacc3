import type { RouteEntry } from '../../contract/route-stream.ts'
import { traceparent } from './traceparent.ts'

/** Where a message comes from, for destinations that keep headers beside the payload. Values have no line breaks. */
export function originHeaders({
  id,
  topic,
  time,
  qos,
  retain,
  deviceId,
  contentType,
}: RouteEntry): Record<string, string> {
  return {
    'Mqtt-Topic': topic,
    'Mqtt-Time': new Date(time).toISOString(),
    'Mqtt-Qos': String(qos),
    'Mqtt-Retain': String(retain),
    ...(deviceId === undefined ? {} : { 'Mqtt-Device': deviceId }),
    // It comes from the device, and in some protocols a line break would end the header.
    ...(contentType === undefined ? {} : { 'Content-Type': contentType.replace(/[\r\n]/g, '') }),
    traceparent: traceparent(id),
  }
}
