/** The step of a hub's reconcile for its Redis: the way in for the pods, and the server itself where it is managed. */
import { hubAclUser } from '../../contract/redis-acl.ts'
import { HUB_REASONS } from '../../crds/hub.ts'
import type { Hub, Secret } from '../api/resources.ts'
import { redisSecret } from '../build/credentials.ts'
import { redisDigest } from '../build/deployment.ts'
import { redisHost, redisObjects } from '../build/redis.ts'
import { redisConfig } from '../build/redis-config.ts'
import { hubRedisSecret, hubRedisServerSecret, hubRedisWorkload } from '../compile/names.ts'
import { createCa } from '../pki/certificate-authority.ts'
import { needsRenewal } from '../pki/facts.ts'
import { issueServerCertificate } from '../pki/issue.ts'
import { isValidFor } from '../pki/pair.ts'
import { type CertificateWithKey, newSerial } from '../pki/profile.ts'
import { secretText } from '../watch/secret-reader.ts'
import { CA_RENEW_BEFORE_MS } from './ca-succession.ts'
import { emptyPart, failedPart, type HubPart, type HubScope } from './hub-part.ts'
import { findOwnedSecret } from './owned-secret.ts'
import { pairOf } from './pairs.ts'
import { givenAccess, hasOwnUser, managedUrl, redisMode } from './redis-access.ts'
import { stalledBy } from './tools.ts'

const PASSWORD_BYTES = 32
const DAYS = 3650

export async function redisPart(scope: HubScope): Promise<HubPart> {
  const { tools, hub, signal } = scope
  const mode = redisMode(hub, tools)
  const durability = hub.spec.redis?.durability ?? 'Fsync'
  const own = await findOwnedSecret(tools, hub, hubRedisSecret(hub.metadata.name), signal)
  if (own.problem !== undefined) return failedPart(own.problem)
  const part =
    mode === 'Managed' ? await managedRedis(scope, own.secret) : await givenRedis(scope, mode, own.secret)
  return { ...part, status: { redis: { mode, durability } } }
}

async function givenRedis(
  { tools, hub, signal }: HubScope,
  mode: 'URL' | 'Secret' | 'OperatorDefault',
  own: Secret | undefined,
): Promise<HubPart> {
  const access = await givenAccess(hub, mode, tools, signal)
  if ('problem' in access) return { ...failedPart(access.problem, own), ...asBefore(own) }
  const { url, caCertificates } = access.found
  const credentials = hasOwnUser(mode)
    ? { username: hubAclUser(hub.metadata.uid ?? ''), password: keptPassword(own, tools.randomBytes) }
    : {}
  const values = {
    url: withoutCredentials(url),
    ...credentials,
    ...(caCertificates === undefined ? {} : { 'ca.crt': caCertificates }),
  }
  const desired = { ...redisSecret(hub, values), known: own ?? ('absent' as const) }
  return { ...emptyPart(), desired: [desired], redis: redisDigest(values) }
}

async function managedRedis(scope: HubScope, own: Secret | undefined): Promise<HubPart> {
  const { tools, hub, signal } = scope
  const durability = hub.spec.redis?.durability ?? 'Fsync'
  const server = await findOwnedSecret(tools, hub, hubRedisServerSecret(hub.metadata.name), signal)
  if (server.problem !== undefined) return { ...failedPart(server.problem, own), ...asBefore(own) }
  const adminPassword = keptPassword(server.secret, tools.randomBytes)
  const hubPassword = keptPassword(own, tools.randomBytes)
  const { certificate, caPem, dueAt } = await serverPair(scope, server.secret)
  const hubUid = hub.metadata.uid ?? ''
  const config = redisConfig({ hubUid, durability, adminPassword, hubPassword })
  const objects = redisObjects(hub, { config, adminPassword, certificate, caPem }, tools.settings)
  const values = {
    url: managedUrl(hub, tools),
    username: hubAclUser(hubUid),
    password: hubPassword,
    'ca.crt': caPem,
  }
  const access = redisSecret(hub, values)
  const problem = stalledBy(
    HUB_REASONS.DurabilityUnsupported,
    'spec.redis.durability: expected Fsync or Relaxed with a managed Redis, which has no replica, got Replicated',
  )
  return {
    ...emptyPart(),
    desired: [
      // First the Secret that a restart of Redis would read, then the one that pods log in by.
      ...objects.map((one) =>
        one.object.metadata.name === hubRedisServerSecret(hub.metadata.name)
          ? { ...one, known: server.secret ?? ('absent' as const) }
          : one,
      ),
      { ...access, known: own ?? ('absent' as const) },
    ],
    problems: durability === 'Replicated' ? [problem] : [],
    dueAt,
    redis: redisDigest(values),
  }
}

/** Pods are not restarted because the Redis that they have cannot be looked up again. */
const asBefore = (own: Secret | undefined): Pick<HubPart, 'redis'> =>
  own === undefined
    ? {}
    : {
        redis: redisDigest({
          url: secretText(own, 'url') ?? '',
          username: secretText(own, 'username') ?? '',
        }),
      }

/** A password is kept for as long as there is one: a new one would lock out the pods that have the old. */
function keptPassword(secret: Secret | undefined, randomBytes: (size: number) => Uint8Array): string {
  const known = secret && secretText(secret, 'password')
  return known || Buffer.from(randomBytes(PASSWORD_BYTES)).toString('base64url')
}

/** Signed by a CA whose key nobody keeps: it signs this one certificate and is trusted for nothing else. */
async function serverPair(
  { tools, hub, now }: HubScope,
  secret: Secret | undefined,
): Promise<{ certificate: CertificateWithKey; caPem: string; dueAt: number }> {
  const dnsNames = redisNames(hub, redisHost(hub, tools.settings))
  const found = secret === undefined ? 'unreadable' : pairOf(secret)
  const caPem = secret && secretText(secret, 'ca.crt')
  if (
    found !== 'unreadable' &&
    caPem !== undefined &&
    !needsRenewal(found.facts, CA_RENEW_BEFORE_MS, now) &&
    isValidFor(found.certificatePem, { dnsNames, ipAddresses: [] })
  )
    return { certificate: found, caPem, dueAt: found.facts.notAfter - CA_RENEW_BEFORE_MS }
  const common = { keyAlgorithm: 'ECDSA-P256' as const, now }
  const serial = () => newSerial(tools.randomBytes)
  const commonName = `${hub.metadata.name} Redis CA`
  const ca = await createCa({ ...common, commonName, days: DAYS, serial: serial() })
  const certificate = await issueServerCertificate({
    ...common,
    ca,
    dnsNames,
    ipAddresses: [],
    duration: DAYS * 86_400_000,
    serial: serial(),
  })
  return { certificate, caPem: ca.certificatePem, dueAt: now + DAYS * 86_400_000 - CA_RENEW_BEFORE_MS }
}

function redisNames({ metadata }: Hub, host: string): string[] {
  const name = hubRedisWorkload(metadata.name)
  return [host, name, `${name}.${metadata.namespace}`, `${name}.${metadata.namespace}.svc`]
}

/** User and password have files of their own. */
function withoutCredentials(text: string): string {
  const url = new URL(text)
  url.username = ''
  url.password = ''
  return url.href
}
