import type { EventCode } from '../../contract/hub-event.ts'
import type { DeviceRecord, HubRecord } from '../../contract/hub-state.ts'
import {
  admit,
  type ConnectFacts,
  type FoundDevice,
  identify,
  identityQuery,
  normalizeDeviceId,
} from './identity.ts'
import type { LinkFacts } from './link.ts'
import { aDevice, aHub, DEVICE_ID, NOW } from './records.fixture.ts'

/** A CONNECT from look-ups to verdict, over a plain list of records. */
export const connectAs = (clientId: string, over: Partial<ConnectFacts> = {}): ConnectFacts => ({
  clientId,
  hasPassword: false,
  ...over,
})

export interface Attempt {
  link: LinkFacts
  connect?: ConnectFacts
  hub?: HubRecord
  devices?: DeviceRecord[]
  now?: number
  passwordMatches?: boolean
}

/** The look-ups of a real state over a list of records: what is stored decides, not what the test says. */
function find(
  devices: readonly DeviceRecord[],
  { link, connect, hub }: Required<Pick<Attempt, 'link' | 'connect' | 'hub'>>,
) {
  for (const { by, value } of identityQuery(link, connect, hub)) {
    const device = devices.find((candidate) => {
      if (by === 'Fingerprint') return candidate.certificate.fingerprints.includes(value)
      if (by === 'CommonName') return candidate.name === value
      return normalizeDeviceId(candidate.id) === value
    })
    if (device !== undefined) return { by, device } satisfies FoundDevice
  }
  return undefined
}

export function attempt({ link, connect = connectAs(DEVICE_ID), hub = aHub(), now = NOW, ...rest }: Attempt) {
  const found = find(rest.devices ?? [aDevice()], { link, connect, hub })
  const verdict = identify({ link, connect, hub, found, now })
  return verdict.allowed ? admit(verdict.value, rest.passwordMatches) : verdict
}

export function resultOf(given: Attempt): 'Accepted' | EventCode {
  const verdict = attempt(given)
  return verdict.allowed ? 'Accepted' : verdict.code
}
