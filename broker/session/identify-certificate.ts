import type { DeviceRecord } from '../../contract/hub-state.ts'
import { identify } from '../policy/identity.ts'
import type { LinkFacts } from '../policy/link.ts'
import { allow, deny, type Verdict } from '../policy/verdict.ts'
import type { SessionContext } from './context.ts'
import { lookUp } from './identify-client.ts'

/** Whose certificate a client has shown, by the rules of a CONNECT; nothing else that it says counts. */
export async function identifyByCertificate(
  context: SessionContext,
  link: LinkFacts,
): Promise<Verdict<DeviceRecord>> {
  const connect = { clientId: '', hasPassword: false }
  const found = await lookUp(context, link, connect)
  if (found === 'Unavailable') return deny('HUB_BUSY', 'the state of the hub cannot be read')
  const verdict = identify({ link, connect, hub: context.hub(), found, now: context.now() })
  if (!verdict.allowed) return verdict
  const { device, mutual } = verdict.value.identity
  return mutual ? allow(device) : deny('MTLS_REQUIRED')
}
