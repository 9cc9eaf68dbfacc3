/** The revocation lists of a hub's own CA: read from their Secret, and kept when what is there is no good. */
import { HUB_REASONS } from '../../crds/hub.ts'
import { COMMON_REASONS } from '../../crds/meta.ts'
import {
  type DatedRevocationList,
  nextStale,
  outdone,
  type StalePolicy,
  staleText,
  withPolicy,
} from '../compile/revocation.ts'
import { allTrusted, type TrustedCas } from '../compile/trusted-cas.ts'
import { PkiError } from '../pki/pki-error.ts'
import { readRevocationLists } from '../pki/revocation-list.ts'
import type { Finding } from '../runtime/conditions.ts'
import { objectKey } from '../runtime/resource.ts'
import { secretValue } from '../watch/secret-reader.ts'
import { earliest, type HubScope } from './hub-part.ts'
import { type Problem, stalledBy, waitsFor } from './tools.ts'

export interface DeviceLists {
  lists: DatedRevocationList[]
  problems: Problem[]
  findings: Finding[]
  /** ms since the epoch. */
  dueAt: number | undefined
}

const FIELD = 'spec.deviceCA.crl.secretRef'

/** @param before those in force */
export async function deviceLists(
  scope: HubScope,
  cas: TrustedCas,
  before: readonly DatedRevocationList[],
): Promise<DeviceLists> {
  const { hub, now } = scope
  const { crl } = hub.spec.deviceCA
  if (crl === undefined) return { lists: [], problems: [], findings: [], dueAt: undefined }
  const read = await newLists(scope, crl.secretRef, allTrusted(cas))
  const known = 'lists' in read ? outdone(read.lists, before) : undefined
  const problem =
    'problem' in read
      ? read.problem
      : known && invalid(`expected a list not older than the one in force, got one of ${known.thisUpdate}`)
  const kept = 'lists' in read && problem === undefined ? read.lists : before
  const lists = kept.map((list) => withPolicy(list, crl.whenStale))
  return {
    lists,
    problems: problem === undefined ? [] : [problem],
    findings: staleFindings(lists, crl.whenStale, now),
    dueAt: earliest(nextStale(lists, now)),
  }
}

async function newLists(
  { tools, hub, signal }: HubScope,
  { name, key }: { name: string; key: string },
  cas: readonly string[],
): Promise<{ lists: DatedRevocationList[] } | { problem: Problem }> {
  const secret = await tools.secrets.read(objectKey(hub.metadata.namespace, name), signal)
  const content = secret && secretValue(secret, key)
  if (content === undefined) {
    const what = secret === undefined ? `Secret ${name}` : `key ${key} in Secret ${name}`
    return { problem: waitsFor(COMMON_REASONS.SecretNotFound, `${FIELD}: there is no ${what}`) }
  }
  try {
    return { lists: await readRevocationLists(content, { field: `${FIELD}[${key}]`, cas }) }
  } catch (error) {
    if (!(error instanceof PkiError)) throw error
    return { problem: stalledBy(HUB_REASONS.CRLInvalid, error.message) }
  }
}

const invalid = (message: string): Problem => stalledBy(HUB_REASONS.CRLInvalid, `${FIELD}: ${message}`)

function staleFindings(
  lists: readonly DatedRevocationList[],
  whenStale: StalePolicy,
  now: number,
): Finding[] {
  const message = staleText(lists, whenStale, now)
  if (message === undefined) return []
  const type = HUB_REASONS.CRLStale
  return [{ type, status: 'True', reason: type, message: `${FIELD}: ${message}` }]
}
