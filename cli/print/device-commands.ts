import type { DeviceRecord } from '../../contract/hub-state.ts'
import type { ListenerPorts } from '../dev/ports.ts'
import type { SampleTopics } from './sample-topics.ts'
import { type RawWord, type WordGroup, withFileContent } from './shell.ts'

/** Where the clients of a hub find it and what they need to trust it. */
export interface HubAccess {
  host: string
  ports: ListenerPorts
  /** Path of the server CA. */
  caFile: string
}

export interface DeviceAccess {
  record: DeviceRecord
  /** Paths of the certificate that was issued to it; absent: it has one of its own, or none. */
  certificate?: { certFile: string; keyFile: string }
  /** Path of the password that links without a certificate have to give. */
  passwordFile?: string
  /** Path of the token by which it gets its first certificate; absent: it asks for none. */
  enrolmentTokenFile?: string
}

export interface LabelledCommand {
  /** What it does, as a shell comment. */
  label: string
  words: WordGroup[]
}

/** The mosquitto commands of one device: with its certificate, and without where that is allowed. */
export function deviceCommands(
  hub: HubAccess,
  device: DeviceAccess,
  topics: SampleTopics,
): LabelledCommand[] {
  const ways = waysIn(hub, device)
  return ways.flatMap(({ label, words }) => [
    ...(topics.subscribe === undefined
      ? []
      : [command('mosquitto_sub', `receive ${label}`, [...words, ['-v', '-t', topics.subscribe]])]),
    ...(topics.publish === undefined
      ? []
      : [command('mosquitto_pub', `send ${label}`, [...words, ['-t', topics.publish, '-m', 'hello']])]),
  ])
}

/** How to watch the events of the hub with this device; undefined: it may not, or cannot connect. */
export function eventsCommand(
  hub: HubAccess,
  device: DeviceAccess,
  topics: SampleTopics,
): LabelledCommand | undefined {
  const [way] = waysIn(hub, device)
  if (way === undefined || topics.events === undefined) return undefined
  return command('mosquitto_sub', 'watch events', [...way.words, ['-v', '-t', topics.events]])
}

interface Way {
  label: string
  words: WordGroup[]
}

function waysIn(hub: HubAccess, device: DeviceAccess): Way[] {
  const { record, certificate } = device
  if (!record.enabled || record.revoked) return []
  const ways: Way[] = []
  if (certificate !== undefined && hub.ports.mqtts !== undefined) {
    const { certFile, keyFile } = certificate
    ways.push({
      label: 'with its certificate',
      words: [...address(hub, hub.ports.mqtts), ...trust(hub), ['--cert', certFile], ['--key', keyFile]],
    })
  }
  if (record.allowInsecure) ways.push(...withoutCertificate(hub, device))
  return ways
}

function withoutCertificate(hub: HubAccess, device: DeviceAccess): Way[] {
  const identity = identify(device)
  const { mqtt, mqtts } = hub.ports
  if (mqtt !== undefined)
    return [{ label: 'without a certificate', words: [...address(hub, mqtt), ...identity] }]
  if (mqtts === undefined) return []
  return [{ label: 'without a certificate', words: [...address(hub, mqtts), ...trust(hub), ...identity] }]
}

/** The client id says who it is; mosquitto sends a password only along with a user name. */
function identify({ record, passwordFile }: DeviceAccess): WordGroup[] {
  if (passwordFile === undefined) return [['-i', record.id]]
  const password: RawWord = withFileContent('', passwordFile)
  return [
    ['-i', record.id],
    ['-u', record.id],
    ['-P', password],
  ]
}

const address = ({ host }: HubAccess, port: number): WordGroup[] => [
  ['-h', host],
  ['-p', String(port)],
]
const trust = ({ caFile }: HubAccess): WordGroup[] => [['--cafile', caFile]]

const command = (program: string, label: string, words: WordGroup[]): LabelledCommand => ({
  label,
  words: [[program], ...words],
})
