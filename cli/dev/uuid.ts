import { createHash } from 'node:crypto'

/** The name space of Hublet's own UUIDs; made once, never to be changed, or every uid would change. */
const HUBLET_NAMESPACE = '5b2c9f7e-8a41-4f0d-9c36-1d7f0e6a4b92'

/** UUID version 5 (RFC 9562 §5.5): the same name always gives the same UUID. */
export function uuidV5(name: string, namespace = HUBLET_NAMESPACE): string {
  const hash = createHash('sha1')
    .update(Buffer.from(namespace.replaceAll('-', ''), 'hex'))
    .update(name)
    .digest()
    .subarray(0, 16)
  hash[6] = ((hash[6] ?? 0) & 0x0f) | 0x50
  hash[8] = ((hash[8] ?? 0) & 0x3f) | 0x80
  return hash.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

/** The uid of an object in `hublet dev`, where no API server gives one (design §2). */
export const objectUid = (namespace: string, kind: string, name: string): string =>
  uuidV5(`${namespace}/${kind}/${name}`)
