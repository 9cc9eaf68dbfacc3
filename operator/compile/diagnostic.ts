/** What compile has to say about one object: becomes a condition in a cluster, a line in `hublet dev`. */
export interface Diagnostic {
  kind: 'Hub' | 'Device' | 'Network' | 'Route'
  /** `metadata.name` of the object. */
  name: string
  /** One of the reasons in `crds/`. */
  reason: string
  message: string
  /** Whether the broker hears nothing of the object because of it. */
  excluded: boolean
}
