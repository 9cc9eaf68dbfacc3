/** Asks for changes of certificates by the objects of a cluster, and waits until the operator has made them. */
import { setTimeout as delay } from 'node:timers/promises'
import { DEVICE_REASONS, ROTATE_ANNOTATION } from '../../crds/device.ts'
import { ROTATE_DEVICE_CA_ANNOTATION, ROTATE_SERVER_CA_ANNOTATION } from '../../crds/hub.ts'
import { DEVICES, type Device, HUBS, type Hub, SECRETS, type Secret } from '../../operator/api/resources.ts'
import { deviceEnrolmentSecret } from '../../operator/compile/names.ts'
import { ROTATION_ANNOTATION } from '../../operator/reconcile/tools.ts'
import type { ApiClient } from '../../operator/runtime/api-client.ts'
import { isNotFound } from '../../operator/runtime/api-error.ts'
import { type KubeObject, objectKey, objectPath, type Resource } from '../../operator/runtime/resource.ts'
import { ClusterError, type ClusterFlags, connect } from '../cluster/connection.ts'

export interface ClusterTarget extends ClusterFlags {
  name: string
}

const WAIT_MS = 60_000
const LOOK_EVERY_MS = 250

/**
 * Resolves to `namespace/name` once the operator has issued a certificate, or a token to a device that asks for its
 * certificates itself.
 */
export async function rotateInCluster(
  target: ClusterTarget,
): Promise<{ where: string; isAskedFor: boolean }> {
  const value = new Date().toISOString()
  const body = { metadata: { annotations: { [ROTATE_ANNOTATION]: value } } }
  let isAskedFor = false
  const where = await change<Device>(target, DEVICES, {
    body,
    isDone: async ({ metadata, spec, status }, client) => {
      isAskedFor = spec.certificate?.enrolled !== undefined
      return isAskedFor
        ? (await tokenRotation(client, metadata)) === value
        : status?.certificate?.handledRotation === value
    },
  })
  return { where, isAskedFor }
}

/** The rotation that the token of a device was made for; undefined: there is none. */
async function tokenRotation(
  client: ApiClient,
  { namespace, name }: Device['metadata'],
): Promise<string | undefined> {
  const path = objectPath(SECRETS, objectKey(namespace, deviceEnrolmentSecret(name)))
  try {
    const { body } = await client.request<Secret>({ method: 'GET', path })
    return body.metadata.annotations?.[ROTATION_ANNOTATION]
  } catch (error) {
    if (isNotFound(error)) return undefined
    throw error
  }
}

/** Resolves to `namespace/name` once brokers know it. */
export async function revokeInCluster(target: ClusterTarget, what: 'revoke' | 'restore'): Promise<string> {
  const revoked = what === 'revoke'
  return await change<Device>(target, DEVICES, {
    body: { spec: { revoked } },
    isDone: ({ metadata, status }) =>
      status?.observedGeneration === metadata.generation &&
      status?.conditions?.some(
        ({ type, status: is, reason }) =>
          type === 'Ready' && is === 'True' && (reason === DEVICE_REASONS.Revoked) === revoked,
      ) === true,
  })
}

/** Resolves to what to tell once a new CA is there. */
export async function rotateCaInCluster(target: ClusterTarget, ca: 'device' | 'server'): Promise<string> {
  const value = new Date().toISOString()
  const annotation = ca === 'device' ? ROTATE_DEVICE_CA_ANNOTATION : ROTATE_SERVER_CA_ANNOTATION
  let from: string | undefined
  const where = await change<Hub>(target, HUBS, {
    body: { metadata: { annotations: { [annotation]: value } } },
    isDone: ({ status }) => {
      from = status?.serverCA?.next?.from
      return (ca === 'device' ? status?.deviceCA : status?.serverCA)?.handledRotation === value
    },
  })
  return ca === 'device'
    ? `hub ${where} has a new device CA, and its devices get new certificates`
    : `hub ${where} has published a new server CA${from === undefined ? '' : `, which signs from ${from} on`}`
}

interface Change<T> {
  /** A merge patch. */
  body: object
  isDone: (object: T, client: ApiClient) => boolean | Promise<boolean>
}

async function change<T extends KubeObject>(
  { name, ...flags }: ClusterTarget,
  resource: Resource,
  { body, isDone }: Change<T>,
): Promise<string> {
  const { client, namespace } = await connect(flags)
  const key = objectKey(namespace, name)
  try {
    const path = objectPath(resource, key)
    await patch(client, path, body)
    const deadline = performance.now() + WAIT_MS
    while (!(await isDone((await client.request<T>({ method: 'GET', path })).body, client))) {
      if (performance.now() > deadline)
        throw new ClusterError(
          `${key}: asked for, but not done within ${WAIT_MS / 1000} s: is the operator running?`,
        )
      await delay(LOOK_EVERY_MS)
    }
    return key
  } catch (error) {
    if (isNotFound(error)) throw new ClusterError(`there is no ${resource.kind} ${key}`)
    throw error
  } finally {
    client.close()
  }
}

const patch = (client: ApiClient, path: string, body: object) =>
  client.request({ method: 'PATCH', path, contentType: 'application/merge-patch+json', body })
