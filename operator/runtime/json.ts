/** Comparisons of JSON values as an API server sees them: the order of keys means nothing, undefined is absent. */

type Json = Record<string, unknown>

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const present = (value: Json): string[] => Object.keys(value).filter((key) => value[key] !== undefined)

/** Whether both would be stored alike. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((value, n) => sameJson(value, b[n]))
  }
  if (!isObject(a) || !isObject(b)) return false
  const keys = present(a)
  return keys.length === present(b).length && keys.every((key) => sameJson(a[key], b[key]))
}

/**
 * Maps whose keys the API server never adds to and that are replaced as a whole: an extra key in one changes its
 * meaning (a Service that selects other pods), where elsewhere it is another owner's business.
 */
const EXACT_MAPS = new Set(['selector', 'matchLabels', 'podSelector', 'nodeSelector'])

/**
 * Whether `live` holds everything that `wanted` says. Further keys of `live` are defaults or other owners' fields;
 * arrays must match item by item.
 */
export function holds(live: unknown, wanted: unknown, key = ''): boolean {
  if (wanted === undefined) return true
  if (Array.isArray(wanted)) {
    return (
      Array.isArray(live) && live.length === wanted.length && wanted.every((item, n) => holds(live[n], item))
    )
  }
  if (!isObject(wanted)) return live === wanted
  const keys = present(wanted)
  // An empty map is not stored by most kinds: absent is the same.
  if (live === undefined || live === null) return keys.length === 0
  if (!isObject(live)) return false
  if (EXACT_MAPS.has(key) && present(live).length !== keys.length) return false
  return keys.every((name) => holds(live[name], wanted[name], name))
}

/** One text for all values that are the same JSON: keys sorted, undefined left out. For hashes. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    isObject(inner)
      ? Object.fromEntries(
          Object.keys(inner)
            .sort()
            .map((key) => [key, inner[key]]),
        )
      : inner,
  )
}
