import type { ListenerName } from '../../broker/policy/link.ts'
import type { DeviceRecord, HubState, NetworkRecord } from '../../contract/hub-state.ts'
import type { Diagnostic } from '../../operator/compile/diagnostic.ts'
import { LISTENER_NAMES, type ListenerPorts } from '../dev/ports.ts'
import {
  type DeviceAccess,
  deviceCommands,
  eventsCommand,
  type HubAccess,
  type LabelledCommand,
} from './device-commands.ts'
import { networkCommand, urlHost } from './network-commands.ts'
import { sampleTopics } from './sample-topics.ts'
import { formatCommand } from './shell.ts'
import type { Style } from './style.ts'
import { formatTable } from './table.ts'

/** Everything that is shown of a running hub. */
export interface HubPage {
  state: HubState
  access: HubAccess
  /** Ports that the manifest asks for; another one was given where they differ. */
  wanted: ListenerPorts
  /** In the order of the state. */
  devices: readonly DeviceAccess[]
  tokenFileOf(network: NetworkRecord): string
  diagnostics: readonly Diagnostic[]
  /** Sentences about what has no effect here. */
  notes: readonly string[]
}

const WIDTH = 100
/** With more devices, their commands would push everything else off the screen. */
export const MAX_DEVICES_SHOWN = 20

const WHO: Record<ListenerName, string> = {
  mqtts: 'MQTT over TLS: devices with a certificate, or with allowInsecure',
  mqtt: 'MQTT, not encrypted: devices with allowInsecure',
  wss: 'MQTT over WebSocket and TLS: as mqtts',
  ws: 'MQTT over WebSocket, not encrypted: as mqtt',
  https: 'token networks, and certificates over EST',
  http: 'token networks, not encrypted',
}

/** The lines to print when a hub has come up. */
export function formatHubPage(page: HubPage, style: Style): string[] {
  const { hub } = page.state
  const namespace = hub.namespace === 'default' ? '' : ` in namespace ${hub.namespace}`
  const state = hub.enabled ? '' : style.warning(' (disabled: nobody can connect)')
  return [
    `${style.title(`Hub ${hub.name}${namespace}`)}${state}`,
    ...endpointLines(page, style),
    ...remarks(page, style),
    '',
    ...oneConnectionNote(page, style),
    ...deviceLines(page, page.devices.slice(0, MAX_DEVICES_SHOWN), style),
    ...moreDevices(page, style),
    ...networkLines(page, style),
    ...eventLines(page, style),
  ]
}

/** The part of the page about some devices, for those that were added while the hub runs. */
export function deviceLines(page: HubPage, devices: readonly DeviceAccess[], style: Style): string[] {
  return devices.flatMap((device) => {
    const { record } = device
    const topics = sampleTopics(record, page.state.hub.events.topicPrefix)
    const commands = deviceCommands(page.access, device, topics)
    return [
      `  ${style.name(`Device ${record.name}`)}  ${style.dim(standing(device))}`,
      ...commands.flatMap((command) => commandLines(command, style)),
      ...(commands.length === 0 ? [`    ${style.dim(`# ${silence(device, topics.publish)}`)}`] : []),
      '',
    ]
  })
}

function endpointLines({ access, wanted }: HubPage, style: Style): string[] {
  const rows = LISTENER_NAMES.flatMap((name) => {
    const port = access.ports[name]
    if (port === undefined) return []
    const path = name === 'ws' || name === 'wss' ? '/mqtt' : ''
    const moved = port === wanted[name] ? '' : style.warning(` (${wanted[name]} is taken)`)
    return [[`${name}://${urlHost(access.host)}:${port}${path}`, `${WHO[name]}${moved}`]]
  })
  return [...formatTable(rows, '  '), `  server CA for clients: ${access.caFile}`]
}

const remarks = ({ diagnostics, notes }: HubPage, style: Style): string[] => [
  ...diagnostics.map(({ kind, name, reason, message, excluded }) => {
    const effect = excluded ? ' (left out)' : ''
    return style.warning(`  ! ${kind} ${name}: ${message} [${reason}]${effect}`)
  }),
  ...notes.map((note) => style.warning(`  ! ${note}`)),
]

/** Pasting both commands of one device would otherwise look like a fault. */
const oneConnectionNote = ({ devices }: HubPage, style: Style): string[] =>
  devices.some(({ record }) => !record.allowMultipleConnections)
    ? [
        style.dim('  A device has one connection at a time unless allowMultipleConnections is set:'),
        style.dim('  receive as one device and send as another.'),
        '',
      ]
    : []

function moreDevices({ devices }: HubPage, style: Style): string[] {
  const more = devices.length - MAX_DEVICES_SHOWN
  return more <= 0 ? [] : [style.dim(`  and ${more} more devices, whose commands are not shown`), '']
}

function networkLines(page: HubPage, style: Style): string[] {
  return page.state.networks.flatMap((network) => {
    const command = networkCommand(page.access, network, page.tokenFileOf(network))
    return [
      `  ${style.name(`Network ${network.name}`)}  ${style.dim(network.type)}`,
      ...(command === undefined
        ? [`    ${style.dim('# the hub has no https or http listener')}`]
        : commandLines(command, style)),
      '',
    ]
  })
}

function eventLines(page: HubPage, style: Style): string[] {
  const { events } = page.state.hub
  if (!events.enabled)
    return [`  ${style.name('Events')}  ${style.dim('off; they are still logged here')}`, '']
  const title = `  ${style.name('Events')}  ${style.dim(`on ${events.topicPrefix}/#, and logged here`)}`
  for (const device of page.devices.slice(0, MAX_DEVICES_SHOWN)) {
    const command = eventsCommand(page.access, device, sampleTopics(device.record, events.topicPrefix))
    if (command !== undefined)
      return [title, ...commandLines({ ...command, label: `watch as ${device.record.name}` }, style), '']
  }
  return [
    title,
    `    ${style.dim(`# no device may: one with an Accept entry ${events.topicPrefix}/# can`)}`,
    '',
  ]
}

const commandLines = ({ label, words }: LabelledCommand, style: Style): string[] => [
  `    ${style.dim(`# ${label}`)}`,
  ...formatCommand(words, '    ', WIDTH),
]

function standing({ record, certificate, enrolmentTokenFile }: DeviceAccess): string {
  const canHaveOne = certificate !== undefined || enrolmentTokenFile !== undefined
  const hasCertificate = canHaveOne || record.certificate.source !== 'None'
  const ways = [...(hasCertificate ? ['certificate'] : []), ...(record.allowInsecure ? ['id alone'] : [])]
  return `${ways.length === 0 ? 'no way in' : `by ${ways.join(' or ')}`} · id ${record.id}`
}

/** Why there is no command for a device. */
function silence(
  { record, certificate, enrolmentTokenFile }: DeviceAccess,
  publish: string | undefined,
): string {
  if (record.revoked) return 'revoked: it cannot connect'
  if (!record.enabled) return 'disabled: it cannot connect'
  if (enrolmentTokenFile !== undefined) return enrolling(record, enrolmentTokenFile)
  if (record.certificate.source === 'None' && !record.allowInsecure)
    return 'it has no certificate and may not connect without one'
  if (certificate === undefined && !record.allowInsecure)
    return 'it connects to mqtts with the certificate that you issued'
  return publish === undefined
    ? 'its filters let nothing through'
    : 'no MQTT listener that it may use is open'
}

function enrolling({ name, enrolment, certificate }: DeviceRecord, tokenFile: string): string {
  // Where the chain counts the record does not say whether it has one.
  const hasOne =
    certificate.fingerprints.length > 0 || (certificate.source === 'HubCA' && enrolment === undefined)
  if (hasOne) return 'it connects to mqtts with the certificate that it asked for'
  return enrolment === undefined
    ? `its token for a certificate over EST has expired: hublet rotate ${name}`
    : `it gets its certificate over EST (https), by the token in ${tokenFile}`
}
