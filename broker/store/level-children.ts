/** A node of a topic tree that knows the level it stands for. */
interface Named {
  readonly level: string
}

/**
 * The children of a node. Most have one (a device, then its one topic), and a Map for a single child is several
 * times the size of the node and one more miss of the processor's cache on every walk.
 */
export type Children<Node extends Named> = Node | Map<string, Node> | undefined

export function childAt<Node extends Named>(children: Children<Node>, level: string): Node | undefined {
  if (children === undefined) return undefined
  if (children instanceof Map) return children.get(level)
  return children.level === level ? children : undefined
}

/** `child` must stand for a level that is not there yet. */
export function withChild<Node extends Named>(children: Children<Node>, child: Node): Children<Node> {
  if (children === undefined) return child
  if (children instanceof Map) return children.set(child.level, child)
  return new Map([
    [children.level, children],
    [child.level, child],
  ])
}

export function withoutChild<Node extends Named>(children: Children<Node>, child: Node): Children<Node> {
  if (!(children instanceof Map)) return undefined
  children.delete(child.level)
  return children.size === 0 ? undefined : children
}
