import type { NetworkRecord } from '../../contract/hub-state.ts'
import type { HubAccess, LabelledCommand } from './device-commands.ts'
import { withFileContent } from './shell.ts'

/** How to publish through a token network; undefined: the hub has no HTTP listener. */
export function networkCommand(
  { host, ports, caFile }: HubAccess,
  { name, type, topicPrefix }: NetworkRecord,
  tokenFile: string,
): LabelledCommand | undefined {
  const secure = ports.https !== undefined
  const port = ports.https ?? ports.http
  if (port === undefined) return undefined
  const topic = 'demo'
  const arrival = topicPrefix === '' ? topic : `${topicPrefix}/${topic}`
  return {
    label: `send through ${type} network ${name}; arrives on ${arrival}`,
    words: [
      ['curl'],
      ['-sS'],
      ['-w', '%{http_code}\\n'],
      ...(secure ? [['--cacert', caFile]] : []),
      ['-H', withFileContent('X-Secret: ', tokenFile)],
      ['-H', `X-Topic: ${topic}`],
      ['-d', 'hello'],
      [`${secure ? 'https' : 'http'}://${urlHost(host)}:${port}/networks/${name}`],
    ],
  }
}

/** IPv6 addresses stand in brackets in a URL. */
export const urlHost = (host: string): string => (host.includes(':') ? `[${host}]` : host)
