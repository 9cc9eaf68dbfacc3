import type { Writable } from 'node:stream'
import { DEVICES, HUBS, type Hub, NETWORKS, ROUTES } from '../../operator/api/resources.ts'
import { type Condition, findCondition } from '../../operator/runtime/conditions.ts'
import { type KubeObject, type Resource, resourcePath } from '../../operator/runtime/resource.ts'
import type { Connection } from '../cluster/connection.ts'
import { formatTable } from '../print/table.ts'

export interface StatusOptions {
  /** All hubs of the namespace when left out. */
  hub: string | undefined
}

type Member = KubeObject & {
  spec?: { hubRef?: { name?: string }; enabled?: boolean }
  status?: { observedGeneration?: number; conditions?: Condition[] }
}

const MEMBERS: readonly Resource[] = [DEVICES, NETWORKS, ROUTES]
const PAGE = 500
/** What is not Ready is listed up to here; a hub that is down would list its whole fleet. */
const MAX_LISTED = 50

/**
 * Tells how hubs are, and what of them is not Ready and why.
 * @returns the exit code: 0 when everything is Ready, 1 when something is not.
 */
export async function runStatus(
  { hub }: StatusOptions,
  { client, namespace }: Connection,
  { stdout, stderr }: { stdout: Writable; stderr: Writable },
): Promise<number> {
  const list = async <T extends KubeObject>(resource: Resource) =>
    await listAll<T>({ client, namespace }, resource)
  const hubs = (await list<Hub>(HUBS)).filter(({ metadata }) => hub === undefined || metadata.name === hub)
  if (hubs.length === 0) {
    stderr.write(
      `expected ${hub === undefined ? 'a Hub' : `Hub ${hub}`} in namespace ${namespace}, got none\n`,
    )
    return 1
  }
  const waiting = hubs.filter((one) => !isReady(one)).map((one) => line(HUBS, one))
  const counts: string[] = []
  for (const resource of MEMBERS) {
    const members = (await list<Member>(resource)).filter(
      ({ spec }) => hub === undefined || spec?.hubRef?.name === hub,
    )
    const notReady = members.filter((one) => !isReady(one))
    counts.push(`${resource.plural}: ${members.length - notReady.length} of ${members.length} ready`)
    waiting.push(...notReady.map((one) => line(resource, one)))
  }
  const rows = [['HUB', 'READY', 'REASON', 'DEVICES', 'CONNECTED', 'ENDPOINT'], ...hubs.map(row)]
  stdout.write(`${formatTable(rows).join('\n')}\n${counts.join('; ')}\n`)
  if (waiting.length === 0) return 0
  const more = waiting.length - MAX_LISTED
  const listed = [...waiting.slice(0, MAX_LISTED), ...(more > 0 ? [[`and ${more} more`]] : [])]
  stdout.write(`\nNot ready:\n${formatTable(listed, '  ').join('\n')}\n`)
  return 1
}

async function listAll<T extends KubeObject>(
  { client, namespace }: Connection,
  resource: Resource,
): Promise<T[]> {
  const found: T[] = []
  let next: string | undefined
  do {
    const { body } = await client.request<{ items: T[]; metadata: { continue?: string } }>({
      method: 'GET',
      path: resourcePath(resource, namespace),
      query: { limit: PAGE, continue: next },
    })
    found.push(...body.items)
    next = body.metadata.continue
  } while (next)
  return found
}

/** What is said of an earlier generation counts for nothing. */
function isReady({ metadata, status }: Member): boolean {
  const ready = findCondition(status?.conditions, 'Ready')
  return ready?.status === 'True' && ready.observedGeneration === metadata.generation
}

function row(hub: Hub): string[] {
  const { metadata, status } = hub
  const ready = findCondition(status?.conditions, 'Ready')
  const endpoint = status?.endpoints?.[0]?.url ?? '-'
  const numbers = [status?.devices, status?.connectedDevices].map((count) => String(count ?? '-'))
  return [metadata.name, ready?.status ?? 'Unknown', ready?.reason ?? 'Pending', ...numbers, endpoint]
}

function line({ kind }: Resource, { metadata, status }: Member): string[] {
  const ready = findCondition(status?.conditions, 'Ready')
  const isOld = ready?.status === 'True'
  const message = isOld
    ? 'a change of it is not looked at yet'
    : (ready?.message ?? 'waiting for the operator')
  return [`${kind} ${metadata.name}`, ready?.reason ?? 'Pending', message]
}
