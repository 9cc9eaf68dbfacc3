import type { ConnectPacket } from 'aedes'
import {
  admit,
  type ConnectFacts,
  type FoundDevice,
  type Identity,
  identify,
  identityQuery,
} from '../policy/identity.ts'
import { type Denied, deny, type Verdict } from '../policy/verdict.ts'
import type { SessionContext } from './context.ts'
import type { Link } from './link.ts'
import type { PasswordChecks } from './password-checks.ts'

export type ClientVerdict = Verdict<Identity> & { deviceId?: string }

/** Who a CONNECT is, or why it may not be. */
export async function identifyClient(
  context: SessionContext,
  link: Link,
  packet: ConnectPacket,
  passwords: PasswordChecks,
): Promise<ClientVerdict> {
  const { username, password } = packet
  const connect: ConnectFacts = {
    clientId: packet.clientId,
    username: username === undefined ? undefined : String(username),
    hasPassword: password !== undefined && password.length > 0,
  }
  const found = await lookUp(context, link, connect)
  if (found === 'Unavailable') return deny('HUB_BUSY', 'the state of the hub cannot be read')
  const verdict = identify({ link: link.facts, connect, hub: context.hub(), found, now: context.now() })
  if (!verdict.allowed) return verdict
  const candidate = verdict.value
  const { passwordVerifier, identity } = candidate
  if (passwordVerifier === undefined) return admit(candidate)
  const matches = await passwords.verify(passwordVerifier, Buffer.from(password ?? ''))
  if (matches === undefined) return deny('HUB_BUSY', 'too many passwords are being verified')
  const admitted = admit(candidate, matches)
  return admitted.allowed ? admitted : named(admitted, identity)
}

const named = (denied: Denied, { device }: Identity) => ({ ...denied, deviceId: device.id })

async function lookUp(
  context: SessionContext,
  link: Link,
  connect: ConnectFacts,
): Promise<FoundDevice | 'Unavailable' | undefined> {
  const { state, logger } = context
  try {
    for (const { by, value } of identityQuery(link.facts, connect, context.hub())) {
      const device =
        by === 'Fingerprint'
          ? await state.deviceByFingerprint(value)
          : by === 'CommonName'
            ? await state.deviceByName(value)
            : await state.deviceById(value)
      if (device !== undefined) return { by, device }
    }
    return undefined
  } catch (error) {
    logger.warn({ err: error }, 'the state of a device could not be read')
    return 'Unavailable'
  }
}
