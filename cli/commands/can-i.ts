import type { Writable } from 'node:stream'
import {
  type Explanation,
  explainConnect,
  explainNetworkPublish,
  explainPublish,
  explainSubscribe,
  type Login,
  type Party,
} from '../../broker/policy/explain.ts'
import type { HubState, NetworkRecord } from '../../contract/hub-state.ts'
import type { ClusterFlags } from '../cluster/connection.ts'
import { withCluster } from '../cluster/read-objects.ts'
import { hubsOf } from '../dev/hub-manifests.ts'
import { loadManifests } from '../manifests/load-manifests.ts'
import { formatProblem } from '../manifests/problem.ts'
import { formatTable } from '../print/table.ts'
import { stateOfManifests, statesInCluster } from './assumed-states.ts'

export const CAN_I_ACTIONS = ['connect', 'publish', 'subscribe'] as const

export interface CanIOptions extends ClusterFlags {
  /** Name of the device, or of the network. */
  name: string
  /** It is that of a REST or Sigfox network. */
  isNetwork: boolean
  action: (typeof CAN_I_ACTIONS)[number]
  /** Topic of a publish, filter of a subscribe. */
  topic: string | undefined
  qos: 0 | 1 | 2
  retain: boolean
  /** undefined: the objects of a cluster. */
  paths: readonly string[] | undefined
  /** Needed when several hubs have one of that name. */
  hub: string | undefined
  /** Where `hublet dev` keeps device ids, which filter templates may hold. */
  data: string
}

/**
 * Says whether a device, or whoever has the token of a network, may do something, and which rule decides.
 * @returns the exit code: 0 yes, 1 no or not to be told.
 */
export async function runCanI(options: CanIOptions, surroundings: Surroundings): Promise<number> {
  const { stderr } = surroundings
  const { paths, hub, data } = options
  if (options.isNetwork && options.action !== 'publish') {
    stderr.write(
      `hublet: can-i --network: expected publish, which is all a token can do, got ${options.action}\n`,
    )
    return 1
  }
  if (paths === undefined)
    return await withCluster(options, surroundings, async (cluster) =>
      tell(await statesInCluster(cluster, hub), options, surroundings),
    )
  const folder = await loadManifests({ paths })
  if (!folder.valid) {
    stderr.write(`${folder.problems.map(formatProblem).join('\n')}\n`)
    return 1
  }
  const hubs = hubsOf(folder.set).filter(({ key }) => hub === undefined || key === hub)
  return tell(
    hubs.map((manifests) => stateOfManifests(manifests, data)),
    options,
    surroundings,
  )
}

interface Surroundings {
  stdout: Writable
  stderr: Writable
}

function tell(states: readonly HubState[], options: CanIOptions, surroundings: Surroundings): number {
  const { name, isNetwork } = options
  if (isNetwork) {
    const found = states.flatMap((state) =>
      named(state.networks, name).map((network) => ({ state, network })),
    )
    const only = theOne(found, options, surroundings)
    return only === undefined ? 1 : tellNetwork(only, options, surroundings)
  }
  const found = states.flatMap(({ hub, devices }) => named(devices, name).map((device) => ({ hub, device })))
  const only = theOne(found, options, surroundings)
  return only === undefined ? 1 : tellDevice(only, options, surroundings)
}

const named = <T extends { name: string }>(records: readonly T[], wanted: string): T[] =>
  records.filter(({ name }) => name === wanted)

function theOne<T>(
  found: readonly T[],
  { name, isNetwork }: CanIOptions,
  { stderr }: Surroundings,
): T | undefined {
  const kind = isNetwork ? 'REST or Sigfox network' : 'device'
  const [only, ...others] = found
  if (only !== undefined && others.length === 0) return only
  const several = `${found.length} hubs have a ${kind} ${name}: name one with --hub`
  const none = `expected a ${kind} of a hub here, got ${JSON.stringify(name)}`
  stderr.write(`hublet: ${only === undefined ? none : several}\n`)
  return undefined
}

function tellDevice(party: Party, options: CanIOptions, surroundings: Surroundings): number {
  const { action, qos, retain } = options
  if (action === 'connect') return explainLinks(party, surroundings.stdout)
  const topic = topicOf(options, surroundings)
  if (topic === undefined) return 1
  const told =
    action === 'publish'
      ? explainPublish(party, { topic, qos, retain })
      : explainSubscribe(party, { filter: topic, qos })
  return say(told, surroundings)
}

function tellNetwork(
  { state: { hub }, network }: { state: HubState; network: NetworkRecord },
  options: CanIOptions,
  surroundings: Surroundings,
): number {
  const { qos, retain } = options
  const topic = topicOf(options, surroundings)
  if (topic === undefined) return 1
  return say(explainNetworkPublish({ hub, network }, { topic, qos, retain }), surroundings)
}

function topicOf({ name, action, topic }: CanIOptions, { stderr }: Surroundings): string | undefined {
  if (topic === undefined)
    stderr.write(`hublet: can-i ${name} ${action}: expected a topic after it, got none\n`)
  return topic
}

function say(told: Explanation, { stdout }: Surroundings): number {
  stdout.write(`${sentence(told)}\n`)
  return told.allowed ? 0 : 1
}

const sentence = ({ allowed, code, because }: Explanation): string =>
  allowed ? `yes: ${because}` : `no: ${because} (${code ?? ''})`

const LISTENERS = ['mqtts', 'wss', 'mqtt', 'ws'] as const

const LOGINS: Record<Login, string> = {
  Certificate: 'with its certificate',
  Id: 'by its id',
  ServiceToken: 'by a token of its account',
}

/** One line for each way to connect; yes when there is any. */
function explainLinks(party: Party, stdout: Writable): number {
  const logins: Login[] = ['Certificate', 'Id']
  // Of no interest to any other device.
  if (party.device.serviceAccount !== undefined) logins.push('ServiceToken')
  const ways = LISTENERS.flatMap((listener) => logins.map((by) => ({ listener, by }))).filter(
    ({ listener, by }) => by !== 'Certificate' || listener === 'mqtts' || listener === 'wss',
  )
  const told = ways.map((way) => ({ ...way, ...explainConnect(party, way) }))
  const rows = told.map(({ listener, by, ...explanation }) => [listener, LOGINS[by], sentence(explanation)])
  stdout.write(`${formatTable(rows).join('\n')}\n`)
  return told.some(({ allowed }) => allowed) ? 0 : 1
}
