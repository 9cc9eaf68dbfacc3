import { isMap, isScalar, isSeq, type Node, type Pair } from 'yaml'

/**
 * Splits what `fieldPath` of the validation wrote: `spec.topics[0]`, `metadata.labels["a.b/c"]`. A key that was
 * cut short in the path is an undefined segment: it cannot be found again.
 */
export function parseFieldPath(path: string): (string | number | undefined)[] {
  const segments: (string | number | undefined)[] = []
  const token = /\.?([A-Za-z_][A-Za-z0-9_-]*)|\[(\d+)\]|\[("(?:[^"\\]|\\.)*")(…[^\]]*)?\]/gy
  for (let match = token.exec(path); match !== null; match = token.exec(path)) {
    const [, name, index, quoted, cut] = match
    if (name !== undefined) segments.push(name)
    else if (index !== undefined) segments.push(Number(index))
    else segments.push(cut === undefined ? (JSON.parse(quoted ?? '""') as string) : undefined)
  }
  return segments
}

/**
 * Offset of the field in the text, or of the innermost thing around it that is there: what is missing is shown
 * where it would have to be added.
 */
export function fieldOffset(root: Node | null, path: string): number {
  let offset = root?.range?.[0] ?? 0
  let node: unknown = root
  for (const segment of parseFieldPath(path)) {
    const found = step(node, segment)
    if (found === undefined) break
    offset = found.offset
    node = found.node
  }
  return offset
}

function step(
  node: unknown,
  segment: string | number | undefined,
): { node: unknown; offset: number } | undefined {
  if (isSeq(node) && typeof segment === 'number') {
    const item = node.items[segment] as Node | undefined
    return item?.range == null ? undefined : { node: item, offset: item.range[0] }
  }
  if (!isMap(node) || segment === undefined) return undefined
  const pair = node.items.find((candidate) => keyOf(candidate) === String(segment))
  const key = pair?.key as Node | undefined
  return key?.range == null ? undefined : { node: pair?.value, offset: key.range[0] }
}

const keyOf = ({ key }: Pair<unknown, unknown>): string | undefined =>
  isScalar(key) ? String(key.value) : undefined
