import type { PolicyRule, RbacObject } from '../../operator/rbac.ts'

const strings = (rule: PolicyRule): string[] =>
  rule.apiGroups.flatMap((group) =>
    rule.resources.flatMap((resource) =>
      rule.verbs.map((verb) => `${verb} ${group}/${resource} ${rule.resourceNames?.join() ?? '*'}`),
    ),
  )

/**
 * What the accounts bound in `objects` may do in the end, whatever roles say it: one line a right, with where it holds
 * and for whom. A binding to a role that is not among them has none.
 */
export function rightsOf(objects: readonly RbacObject[]): string[] {
  const bindings = objects.filter(({ kind }) => kind?.endsWith('Binding'))
  const lines = bindings.flatMap(({ metadata, roleRef, subjects = [] }) => {
    const role = objects.find(
      (one) =>
        one.kind === roleRef?.kind &&
        one.metadata.name === roleRef?.name &&
        (one.kind === 'ClusterRole' || one.metadata.namespace === metadata.namespace),
    )
    return subjects.flatMap((subject) =>
      (role?.rules ?? [])
        .flatMap(strings)
        .map(
          (right) => `${metadata.namespace ?? 'everywhere'}: ${subject.namespace}/${subject.name} ${right}`,
        ),
    )
  })
  return [...new Set(lines)].sort()
}
