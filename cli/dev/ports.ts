import type { ListenerName } from '../../broker/policy/link.ts'
import type { Hub } from '../../crds/hub.ts'

/** In the order in which they are shown. */
export const LISTENER_NAMES: readonly ListenerName[] = ['mqtts', 'mqtt', 'wss', 'ws', 'https', 'http']

const STEP = 10_000
const LAST_PORT = 65_535

export type ListenerPorts = Partial<Record<ListenerName, number>>

/** The open listeners of a hub with the ports that its manifest asks for. */
export function wantedPorts(hub: Hub): ListenerPorts {
  const { listeners } = hub.spec
  return Object.fromEntries(
    LISTENER_NAMES.filter((name) => listeners[name].enabled).map((name) => [name, listeners[name].port]),
  )
}

/**
 * Gives every listener its port, or the next one that is free when another hub or another program has it:
 * 10,000 above (11883 still reads as 1883), 20,000 above and so on, then one by one from the wanted one up.
 *
 * @param wanted by listener
 * @param taken ports that are given away already; those that this call gives are added
 * @param isFree asks the operating system
 * @returns undefined for a listener when there is no free port at all
 */
export async function assignPorts(
  wanted: ListenerPorts,
  taken: Set<number>,
  isFree: (port: number) => Promise<boolean>,
): Promise<Partial<Record<ListenerName, number | undefined>>> {
  const assigned: Partial<Record<ListenerName, number | undefined>> = {}
  // Listeners of this hub first, so that none of them is given what another of them asks for.
  const own = new Set(Object.values(wanted))
  for (const name of LISTENER_NAMES) {
    const port = wanted[name]
    if (port === undefined) continue
    assigned[name] = await firstFree(port, { taken, own, isFree })
    if (assigned[name] !== undefined) taken.add(assigned[name])
  }
  return assigned
}

interface Search {
  taken: ReadonlySet<number>
  own: ReadonlySet<number>
  isFree: (port: number) => Promise<boolean>
}

async function firstFree(wanted: number, { taken, own, isFree }: Search): Promise<number | undefined> {
  for (const port of candidates(wanted)) {
    if (taken.has(port) || (port !== wanted && own.has(port))) continue
    if (await isFree(port)) return port
  }
  return undefined
}

function* candidates(wanted: number): Generator<number> {
  for (let port = wanted; port <= LAST_PORT; port += STEP) yield port
  for (let port = wanted + 1; port <= LAST_PORT; port += 1) yield port
}
