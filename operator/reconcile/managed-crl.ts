/** The revocation list of the managed device CA, for others than brokers: those know it without a list. */
import type { Hub } from '../api/resources.ts'
import { crlConfigMap } from '../build/credentials.ts'
import { hubCrlConfigMap, hubRevokedConfigMap } from '../compile/names.ts'
import type { Pair } from '../pki/pair.ts'
import { PkiError } from '../pki/pki-error.ts'
import { readRevocationLists } from '../pki/revocation-list.ts'
import { signRevocationList } from '../pki/sign-revocation-list.ts'
import type { Desired } from '../runtime/apply.ts'
import { keyOf } from '../runtime/resource.ts'
import { HUB_INDEX } from '../watch/indexes.ts'
import { hubEntries } from './hub-entries.ts'
import type { HubScope } from './hub-part.ts'
import { parseRevoked } from './revoked-certificates.ts'
import type { Tools } from './tools.ts'

const DAY_MS = 86_400_000
/** Who fetches it once a day has three of them to notice that it is not renewed any more. */
const DURATION_MS = 7 * DAY_MS
const RENEW_BEFORE_MS = 3 * DAY_MS
/** Those that expire first are left out beyond it. */
const MAX_ENTRIES = 5_000

/** What is published already stays as it is until something else is revoked or its time comes. */
export async function managedCrl(
  { tools, hub, now }: HubScope,
  ca: Pair,
): Promise<{ desired: Desired; dueAt: number }> {
  const published = hubEntries(tools.world, hub, hubCrlConfigMap(hub.metadata.name))['ca.crl']
  const serials = revokedSerials(tools.world, hub, now)
  const known = published === undefined ? undefined : await readOwn(published, ca)
  const isSame = known !== undefined && known.serials.toSorted().join() === serials.join()
  if (published !== undefined && isSame && known.nextUpdate - now > RENEW_BEFORE_MS)
    return { desired: crlConfigMap(hub, published), dueAt: known.nextUpdate - RENEW_BEFORE_MS }
  const before = known === undefined ? undefined : published
  const made = await signRevocationList({ ca, serials, before, now, duration: DURATION_MS })
  return { desired: crlConfigMap(hub, made), dueAt: now + DURATION_MS - RENEW_BEFORE_MS }
}

/** Undefined: of the CA before, or edited by somebody. */
async function readOwn(
  text: string,
  ca: Pair,
): Promise<{ serials: readonly string[]; nextUpdate: number } | undefined> {
  try {
    const [list] = await readRevocationLists(Buffer.from(text), { field: 'ca.crl', cas: [ca.certificatePem] })
    return list && { serials: list.serials, nextUpdate: Date.parse(list.nextUpdate ?? '') }
  } catch (error) {
    if (error instanceof PkiError) return undefined
    throw error
  }
}

/** Of devices as their statuses have it, and of those that are gone. */
function revokedSerials(world: Tools['world'], hub: Hub, now: number): string[] {
  const all = [
    ...world.devices
      .byIndex(HUB_INDEX, keyOf(hub))
      .flatMap(({ status }) => status?.revokedFingerprints ?? []),
    ...parseRevoked(hubEntries(world, hub, hubRevokedConfigMap(hub.metadata.name))),
  ].filter(({ until }) => Date.parse(until) > now)
  const latest = all.sort((a, b) => Date.parse(b.until) - Date.parse(a.until))
  return [...new Set(latest.flatMap(({ serial }) => serial ?? []))].slice(0, MAX_ENTRIES).sort()
}
