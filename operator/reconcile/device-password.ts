/** The step of a device's reconcile for its password: brokers get a verifier, and keep it while it still fits. */
import { createVerifier, MIN_SALT_BYTES, verifyPassword } from '../../contract/password-verifier.ts'
import { COMMON_REASONS } from '../../crds/meta.ts'
import type { Secret } from '../api/resources.ts'
import { VERIFIER_SOURCE_ANNOTATION, verifierSecret } from '../build/credentials.ts'
import { deviceVerifierSecret } from '../compile/names.ts'
import { objectKey } from '../runtime/resource.ts'
import { secretText, secretValue } from '../watch/secret-reader.ts'
import { type DevicePart, type DeviceScope, emptyDevicePart } from './device-part.ts'
import { findOwnedSecret } from './owned-secret.ts'
import { stalledBy } from './tools.ts'

export async function devicePassword(scope: DeviceScope): Promise<DevicePart> {
  const { tools, device, signal } = scope
  const { passwordSecretRef: ref } = device.spec
  if (ref === undefined) return emptyDevicePart()
  const key = objectKey(device.metadata.namespace, ref.name)
  const version = tools.secrets.version(key)
  // Compile says of a password that is missing what there is to say.
  if (version === undefined) return emptyDevicePart()
  const own = await findOwnedSecret(tools, device, deviceVerifierSecret(device.metadata.name), signal)
  if (own.problem !== undefined) return { ...emptyDevicePart(), problems: [own.problem] }
  const source = `${version}/${ref.key}`
  const known = own.secret && verifierOf(own.secret, source)
  const verifier = known ?? (await newVerifier(scope, key, own.secret))
  if (verifier === 'missing') return emptyDevicePart()
  if (verifier === 'empty') {
    const message = `spec.passwordSecretRef: key ${ref.key} of Secret ${ref.name}: expected a password, got an empty one`
    return { ...emptyDevicePart(), problems: [stalledBy(COMMON_REASONS.SecretInvalid, message)] }
  }
  const desired = { ...verifierSecret(device, verifier, source), known: own.secret ?? ('absent' as const) }
  return { ...emptyDevicePart(), desired: [desired] }
}

/** The verifier, if it was made of just this state of the password's Secret. */
const verifierOf = (secret: Secret, source: string): string | undefined =>
  secret.metadata.annotations?.[VERIFIER_SOURCE_ANNOTATION] === source
    ? secretText(secret, 'verifier')
    : undefined

/** A verifier with another salt would look like another password and cut off the device, so the old one is tried. */
async function newVerifier(
  { tools, device, signal }: DeviceScope,
  key: string,
  own: Secret | undefined,
): Promise<string | 'missing' | 'empty'> {
  const secret = await tools.secrets.read(key, signal)
  const password = secret && secretValue(secret, device.spec.passwordSecretRef?.key ?? '')
  if (password === undefined) return 'missing'
  if (password.length === 0) return 'empty'
  const known = own && secretText(own, 'verifier')
  if (known !== undefined && (await verifyPassword(known, password))) return known
  return await createVerifier(password, Buffer.from(tools.randomBytes(MIN_SALT_BYTES)))
}
