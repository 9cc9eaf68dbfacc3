/** A message as a CloudEvent 1.0, HTTP protocol binding (cloudevents.io). Pure. */
import { isUtf8 } from 'node:buffer'
import type { RouteEntry } from '../../../contract/route-stream.ts'
import type { RouteSpec } from '../../../crds/route.ts'
import { traceparent } from '../traceparent.ts'

/** `spec.rest.cloudEvents`, and the source when it says none. */
export type CloudEventFormat = Pick<
  NonNullable<NonNullable<RouteSpec['rest']>['cloudEvents']>,
  'mode' | 'type'
> & { source: string }

const JSON_TYPE = /^application\/([^;]*\+)?json\s*(;|$)/i

/** Headers and body of the request. The same message gives the same id on every attempt. */
export function cloudEvent(
  entry: RouteEntry,
  { mode, type, source }: CloudEventFormat,
): { headers: Record<string, string>; body: Buffer } {
  const { payload } = entry
  const text = isUtf8(payload) ? payload.toString() : undefined
  const isJson = text !== undefined && parses(text)
  const datacontenttype = entry.contentType ?? guess(isJson, text !== undefined)
  const attributes = {
    specversion: '1.0',
    id: entry.id,
    source,
    type,
    subject: entry.topic,
    time: new Date(entry.time).toISOString(),
    traceparent: traceparent(entry.id),
    ...(entry.deviceId === undefined ? {} : { deviceid: entry.deviceId }),
  }
  if (mode === 'Binary') {
    const headers = Object.entries(attributes).map(([name, value]) => [`ce-${name}`, headerValue(value)])
    return {
      headers: { ...Object.fromEntries(headers), 'Content-Type': headerValue(datacontenttype, true) },
      body: payload,
    }
  }
  const event = JSON.stringify({ ...attributes, datacontenttype })
  const data = dataMember(payload, JSON_TYPE.test(datacontenttype) ? { json: isJson } : { text })
  return {
    headers: { 'Content-Type': 'application/cloudevents+json; charset=utf-8' },
    body: Buffer.from(`${event.slice(0, -1)}${data}}`),
  }
}

/** JSON stays as the device wrote it: parsed and printed again, large numbers would change. */
function dataMember(payload: Buffer, kind: { json: boolean } | { text: string | undefined }): string {
  if (payload.length === 0) return ''
  if ('json' in kind && kind.json) return `,"data":${payload.toString()}`
  if ('text' in kind && kind.text !== undefined) return `,"data":${JSON.stringify(kind.text)}`
  return `,"data_base64":"${payload.toString('base64')}"`
}

function guess(isJson: boolean, isText: boolean): string {
  if (isJson) return 'application/json'
  return isText ? 'text/plain; charset=utf-8' : 'application/octet-stream'
}

function parses(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** §3.1.3.2 of the binding: what is no printable ASCII, spaces, quotes and % are percent-encoded. */
function headerValue(text: string, keepsSpaces = false): string {
  const special = keepsSpaces ? /[^\u0020-\u007e]/gu : /[^\u0021\u0023\u0024\u0026-\u007e]/gu
  return text.replace(special, (character) =>
    [...Buffer.from(character)]
      .map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`)
      .join(''),
  )
}
