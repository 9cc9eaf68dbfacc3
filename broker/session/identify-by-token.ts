import type { ConnectFacts, Identity } from '../policy/identity.ts'
import type { LinkFacts } from '../policy/link.ts'
import { judgeToken, looksLikeToken, tokenLoginFault } from '../policy/service-token.ts'
import { allow, type Denied, deny, type Verdict } from '../policy/verdict.ts'
import type { SessionContext } from './context.ts'

type TokenLogin = Verdict<Identity> & { deviceId?: string }

/**
 * Who logs in by a token of its ServiceAccount: the user name is that of the device. undefined: this is no such
 * login, and the other ways are tried.
 */
export async function identifyByToken(
  context: SessionContext,
  link: LinkFacts,
  connect: ConnectFacts,
  password: Uint8Array | undefined,
): Promise<TokenLogin | undefined> {
  const { tokenIssuer } = context.hub()
  const token = Buffer.from(password ?? '').toString('latin1')
  const { username, clientId } = connect
  if (tokenIssuer === undefined || username === undefined || !looksLikeToken(token)) return undefined
  const device = await context.state.deviceByName(username)
  if (device?.serviceAccount === undefined) return undefined
  const refuse = (denied: Denied): TokenLogin => ({ ...denied, deviceId: device.id })
  const fault = tokenLoginFault(context.hub(), device, link)
  if (fault !== undefined) return refuse(fault)
  const verdict = judgeToken(token, {
    issuer: tokenIssuer,
    namespace: context.hub().namespace,
    serviceAccount: device.serviceAccount,
    now: context.now(),
  })
  if (!verdict.valid) return refuse(deny('SERVICE_TOKEN_REFUSED', verdict.why))
  return allow({
    device,
    mutual: false,
    clientId: clientId === '' ? undefined : clientId,
    tokenUntil: verdict.expiresAt,
  })
}
