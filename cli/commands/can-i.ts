import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Writable } from 'node:stream'
import {
  type Explanation,
  explainConnect,
  explainPublish,
  explainSubscribe,
  type Party,
} from '../../broker/policy/explain.ts'
import { certificateSource, deviceName } from '../../operator/compile/device-record.ts'
import { type DeviceFacts, type HubFacts, objectKey } from '../../operator/compile/facts.ts'
import { compileHubState } from '../../operator/compile/hub-state.ts'
import { type HubManifests, hubsOf } from '../dev/hub-manifests.ts'
import { parseIdentityRecord } from '../dev/identity-record.ts'
import { objectUid } from '../dev/uuid.ts'
import { loadManifests } from '../manifests/load-manifests.ts'
import { namespaceOf } from '../manifests/manifest-set.ts'
import { formatProblem } from '../manifests/problem.ts'
import { formatTable } from '../print/table.ts'

export const CAN_I_ACTIONS = ['connect', 'publish', 'subscribe'] as const

export interface CanIOptions {
  device: string
  action: (typeof CAN_I_ACTIONS)[number]
  /** Topic of a publish, filter of a subscribe. */
  topic: string | undefined
  qos: 0 | 1 | 2
  retain: boolean
  paths: readonly string[]
  /** Needed when several hubs have a device of that name. */
  hub: string | undefined
  /** Where `hublet dev` keeps device ids, which filter templates may hold. */
  data: string
}

/**
 * Says whether a device may do something, and which rule decides.
 * @returns the exit code: 0 yes, 1 no or not to be told.
 */
export async function runCanI(
  options: CanIOptions,
  { stdout, stderr }: { stdout: Writable; stderr: Writable },
): Promise<number> {
  const folder = await loadManifests({ paths: options.paths })
  if (!folder.valid) {
    stderr.write(`${folder.problems.map(formatProblem).join('\n')}\n`)
    return 1
  }
  const hubs = hubsOf(folder.set).filter(({ key }) => options.hub === undefined || key === options.hub)
  const found = hubs.flatMap((manifests) => partiesOf(manifests, options))
  const [only, ...others] = found
  if (only === undefined || others.length > 0) {
    const hint =
      others.length > 0 ? `${found.length} hubs have a device ${options.device}: name one with --hub` : ''
    stderr.write(
      `hublet: ${hint || `expected a device of a hub here, got ${JSON.stringify(options.device)}`}\n`,
    )
    return 1
  }
  if (options.action === 'connect') return explainLinks(only, stdout)
  if (options.topic === undefined) {
    stderr.write(`hublet: can-i ${options.device} ${options.action}: expected a topic after it, got none\n`)
    return 1
  }
  const told =
    options.action === 'publish'
      ? explainPublish(only, { topic: options.topic, qos: options.qos, retain: options.retain })
      : explainSubscribe(only, { filter: options.topic, qos: options.qos })
  stdout.write(`${sentence(told)}\n`)
  return told.allowed ? 0 : 1
}

const sentence = ({ allowed, code, because }: Explanation): string =>
  allowed ? `yes: ${because}` : `no: ${because} (${code ?? ''})`

const LISTENERS = ['mqtts', 'wss', 'mqtt', 'ws'] as const

/** One line for each way to connect; yes when there is any. */
function explainLinks(party: Party, stdout: Writable): number {
  const ways = LISTENERS.flatMap((listener) =>
    [true, false].map((certificate) => ({ listener, certificate })),
  ).filter(({ listener, certificate }) => !certificate || listener === 'mqtts' || listener === 'wss')
  const told = ways.map((way) => ({ ...way, ...explainConnect(party, way) }))
  const rows = told.map(({ listener, certificate, ...explanation }) => [
    listener,
    certificate ? 'with its certificate' : 'by its id',
    sentence(explanation),
  ])
  stdout.write(`${formatTable(rows).join('\n')}\n`)
  return told.some(({ allowed }) => allowed) ? 0 : 1
}

/** The device as the broker would know it, by the same compile. */
function partiesOf(manifests: HubManifests, { device, data }: CanIOptions): Party[] {
  const { hub, devices, networks, routes } = manifests
  if (!devices.some(({ object }) => deviceName(object) === device)) return []
  const { state } = compileHubState({
    hub: hub.object,
    devices: devices.map(({ object }) => object),
    networks: networks.map(({ object }) => object),
    routes: routes.map(({ object }) => object),
    facts: assumedFacts(manifests, data),
  })
  const record = state.devices.find(({ name }) => name === device)
  return record === undefined ? [] : [{ hub: state.hub, device: record }]
}

/**
 * What a cluster holds in Secrets is taken to be there and right: the question is what the rules say. Ids are
 * those of `hublet dev` where it has run.
 */
function assumedFacts({ hub, key, devices }: HubManifests, data: string): HubFacts {
  const namespace = namespaceOf(hub.object.metadata)
  const record = parseIdentityRecord(readIdentity(data, key), join(data, key, 'identity.json'))
  const uids = new Map<string, string>()
  const facts = new Map<string, DeviceFacts>()
  for (const { object } of devices) {
    const { name } = object.metadata
    uids.set(objectKey('Device', name), record.devices[name]?.id ?? objectUid(namespace, 'Device', name))
    facts.set(name, {
      certificate: { source: certificateSource(hub.object, object), fingerprints: [digestOf(name)] },
      passwordVerifier: 'assumed',
    })
  }
  uids.set(objectKey('Hub', hub.object.metadata.name), objectUid(namespace, 'Hub', hub.object.metadata.name))
  return { now: 0, uids, deviceCACertificates: [], devices: facts, networks: new Map() }
}

/** Stands for the fingerprint of a certificate: no two devices may have the same. */
const digestOf = (name: string): string => createHash('sha256').update(name).digest('hex')

function readIdentity(data: string, key: string): string | undefined {
  try {
    return readFileSync(join(data, key, 'identity.json'), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
