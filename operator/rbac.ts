/**
 * The rights of the operator, worked out from the resources that its code watches and writes: nothing is granted that
 * nothing uses. `deploy/rbac.yaml` and the charts are generated from here.
 */
import { stringify } from 'yaml'
import { GROUP } from '../crds/meta.ts'
import { DEVICES, HUBS, NETWORKS, OWNED_RESOURCES, ROUTES } from './api/resources.ts'
import { GATEWAY_GROUP, ROUTE_PLURALS } from './build/gateway-route.ts'
import type { KubeObject, Resource } from './runtime/resource.ts'

export interface PolicyRule {
  apiGroups: string[]
  resources: string[]
  resourceNames?: string[]
  verbs: string[]
}

export const OPERATOR_ACCOUNT = 'hublet-operator'
/** Bound where the operator sees our kinds: in each namespace, or in all of them at once. */
export const KINDS_ROLE = 'hublet-kinds'
/** Bound in each namespace where hubs may be; never in all of them at once, since it reads Secrets. */
export const WORKLOADS_ROLE = 'hublet-workloads'

const KINDS = [HUBS, DEVICES, NETWORKS, ROUTES]
/** What an informer asks for, and a look at one object. */
const WATCH = ['get', 'list', 'watch']
/** What the applier sends: an apply of an object that is not there is a create as well. */
const APPLY = ['create', 'patch', 'delete']

const groupOf = ({ apiVersion }: Resource): string =>
  apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : ''

const plurals = (resources: readonly Resource[]): string[] => resources.map(({ plural }) => plural)

/** Our kinds: finalizers and statuses are patched, and `deletionPolicy: Cascade` deletes what refers to a hub. */
export function kindRules(): PolicyRule[] {
  return [
    { apiGroups: [GROUP], resources: plurals(KINDS), verbs: [...WATCH, 'patch'] },
    // Auto-provisioning.
    { apiGroups: [GROUP], resources: plurals([DEVICES]), verbs: ['create'] },
    { apiGroups: [GROUP], resources: plurals([DEVICES, NETWORKS, ROUTES]), verbs: ['delete'] },
    { apiGroups: [GROUP], resources: KINDS.map(({ plural }) => `${plural}/status`), verbs: ['patch'] },
    // They stand in the namespace of what they are about.
    { apiGroups: ['events.k8s.io'], resources: ['events'], verbs: ['create', 'patch'] },
  ]
}

/** What the operator makes, and the Secrets that users name. */
export function workloadRules(): PolicyRule[] {
  const groups = new Map<string, Resource[]>()
  for (const resource of OWNED_RESOURCES)
    groups.set(groupOf(resource), [...(groups.get(groupOf(resource)) ?? []), resource])
  return [
    ...[...groups].map(([group, resources]) => ({
      apiGroups: [group],
      resources: plurals(resources),
      verbs: [...WATCH, ...APPLY],
    })),
    // Not watched, because a cluster need not serve them.
    { apiGroups: [GATEWAY_GROUP], resources: Object.values(ROUTE_PLURALS), verbs: ['get', ...APPLY] },
  ]
}

export interface OwnNamespaceOptions {
  leaseName: string
  /** Absent: there is none. */
  defaultRedisSecret?: string
}

/** What the operator needs in its own namespace, whatever it watches. A create cannot be bound to a name. */
export function ownNamespaceRules({ leaseName, defaultRedisSecret }: OwnNamespaceOptions): PolicyRule[] {
  const leases = { apiGroups: ['coordination.k8s.io'], resources: ['leases'] }
  return [
    { ...leases, verbs: ['create'] },
    { ...leases, resourceNames: [leaseName], verbs: ['get', 'update'] },
    ...(defaultRedisSecret === undefined
      ? []
      : [{ apiGroups: [''], resources: ['secrets'], resourceNames: [defaultRedisSecret], verbs: ['get'] }]),
  ]
}

const RBAC = 'rbac.authorization.k8s.io/v1'
const LABELS = { 'app.kubernetes.io/name': 'hublet', 'app.kubernetes.io/part-of': 'hublet' }

export interface RbacObject extends KubeObject {
  rules?: PolicyRule[]
  roleRef?: { apiGroup: string; kind: string; name: string }
  subjects?: Array<{ kind: string; name: string; namespace: string }>
}

const clusterRole = (name: string, rules: PolicyRule[], labels: Record<string, string> = {}): RbacObject => ({
  apiVersion: RBAC,
  kind: 'ClusterRole',
  metadata: { name, labels: { ...LABELS, ...labels } },
  rules,
})

const bindingTo = (role: { kind: string; name: string }, operatorNamespace: string) => ({
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', ...role },
  subjects: [{ kind: 'ServiceAccount', name: OPERATOR_ACCOUNT, namespace: operatorNamespace }],
})

const roleBinding = (
  namespace: string,
  role: { kind: string; name: string },
  operatorNamespace: string,
): RbacObject => ({
  apiVersion: RBAC,
  kind: 'RoleBinding',
  metadata: { name: role.name, namespace, labels: LABELS },
  ...bindingTo(role, operatorNamespace),
})

export interface RbacOptions extends OwnNamespaceOptions {
  operatorNamespace: string
  /** Namespaces where hubs may be. */
  namespaces: readonly string[]
  /** Our kinds are seen in all namespaces; what is made, still in `namespaces` only. */
  allNamespaces: boolean
}

/** Everything to be applied so that the operator may do its work, and nothing else. */
export function rbacObjects(options: RbacOptions): RbacObject[] {
  const { operatorNamespace, namespaces, allNamespaces } = options
  const kinds = { kind: 'ClusterRole', name: KINDS_ROLE }
  const workloads = { kind: 'ClusterRole', name: WORKLOADS_ROLE }
  const own = { kind: 'Role', name: OPERATOR_ACCOUNT }
  return [
    {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: OPERATOR_ACCOUNT, namespace: operatorNamespace, labels: LABELS },
    },
    clusterRole(KINDS_ROLE, kindRules()),
    clusterRole(WORKLOADS_ROLE, workloadRules()),
    {
      apiVersion: RBAC,
      kind: 'Role',
      metadata: { name: OPERATOR_ACCOUNT, namespace: operatorNamespace, labels: LABELS },
      rules: ownNamespaceRules(options),
    },
    roleBinding(operatorNamespace, own, operatorNamespace),
    ...(allNamespaces
      ? [
          {
            apiVersion: RBAC,
            kind: 'ClusterRoleBinding',
            metadata: { name: KINDS_ROLE, labels: LABELS },
            ...bindingTo(kinds, operatorNamespace),
          },
        ]
      : namespaces.map((namespace) => roleBinding(namespace, kinds, operatorNamespace))),
    ...namespaces.map((namespace) => roleBinding(namespace, workloads, operatorNamespace)),
    ...userRoles(),
  ]
}

/** For people: who may view or edit in a namespace may do so with our kinds too. Statuses stay the operator's. */
function userRoles(): RbacObject[] {
  const aggregate = (role: string) => ({ [`rbac.authorization.k8s.io/aggregate-to-${role}`]: 'true' })
  const resources = plurals(KINDS)
  const edit = ['create', 'update', 'patch', 'delete', 'deletecollection']
  return [
    clusterRole('hublet-view', [{ apiGroups: [GROUP], resources, verbs: WATCH }], aggregate('view')),
    clusterRole('hublet-edit', [{ apiGroups: [GROUP], resources, verbs: edit }], {
      ...aggregate('edit'),
      ...aggregate('admin'),
    }),
  ]
}

/** Where the operator is installed by plain manifests. */
export const DEFAULT_NAMESPACE = 'hublet-system'

const NOTICE = `# Generated from operator/rbac.ts by \`make generate\`; edit it there.
#
# The operator in namespace ${DEFAULT_NAMESPACE}, with hubs in that namespace. For hubs in another namespace, bind both
# ClusterRoles there by a RoleBinding and name the namespace in --namespaces.
`

/** Of an operator that watches its own namespace. */
export const rbacManifest = (): string =>
  NOTICE +
  rbacObjects({
    operatorNamespace: DEFAULT_NAMESPACE,
    namespaces: [DEFAULT_NAMESPACE],
    allNamespaces: false,
    leaseName: 'hublet-operator',
  })
    .map((object) => `---\n${stringify(object, { lineWidth: 0, aliasDuplicateObjects: false })}`)
    .join('')
