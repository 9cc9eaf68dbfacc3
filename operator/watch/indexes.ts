/** By what the objects of our kinds are found: their hub, and the Secrets that they name. */
import type { Device, Hub, Network, Route } from '../api/resources.ts'
import { routeSecretValues } from '../compile/route-secrets.ts'
import { objectKey } from '../runtime/resource.ts'

/** Index from the key of a hub to what refers to it. */
export const HUB_INDEX = 'hub'
/** Index from the key of a Secret to what names it. */
export const SECRET_INDEX = 'secret'

type Member = Device | Network | Route

/** References never cross a namespace, so the hub is that of the object's own. */
export const hubKeyOf = ({ metadata, spec }: Member): string =>
  objectKey(metadata.namespace, spec.hubRef.name)

export const byHub = (member: Member): string[] => [hubKeyOf(member)]

const keys = (namespace: string | undefined, names: ReadonlyArray<string | undefined>): string[] => [
  ...new Set(names.flatMap((name) => (name === undefined ? [] : [objectKey(namespace, name)]))),
]

export const secretsOfHub = ({ metadata, spec }: Hub): string[] =>
  keys(metadata.namespace, [
    spec.deviceCA.secretRef?.name,
    spec.deviceCA.next?.secretRef?.name,
    spec.deviceCA.crl?.secretRef.name,
    spec.serverTLS.secretRef?.name,
    spec.redis?.secretRef?.name,
  ])

export const secretsOfDevice = ({ metadata, spec }: Device): string[] =>
  keys(metadata.namespace, [spec.passwordSecretRef?.name, spec.certificate?.provided?.secretRef?.name])

export const secretsOfNetwork = ({ metadata, spec }: Network): string[] =>
  keys(metadata.namespace, [spec.tokenSecretRef?.name])

export const secretsOfRoute = (route: Route): string[] =>
  keys(
    route.metadata.namespace,
    routeSecretValues(route).map(({ secret }) => secret),
  )
