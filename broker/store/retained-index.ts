import { type Children, childAt, withChild, withoutChild } from './level-children.ts'
import type { ApplicationMessage } from './store.ts'
import { detachMessage, isExpired, messageBytes } from './stored-message.ts'

export interface RetainedLimits {
  /** Topics with a retained message. */
  messages: number
  /** Bytes of all retained messages as `messageBytes` counts them: topic, payload and properties. */
  bytes: number
}

/**
 * Tree nodes allowed per message of the limit. A level costs about 200 bytes whatever its name, so topics a
 * hundred levels deep that share nothing would take far more memory than `bytes` says. Real topics share
 * most of their levels and need one or two nodes each.
 */
const NODES_PER_MESSAGE = 8

interface Node {
  readonly level: string
  children: Children<Node>
  message: ApplicationMessage | undefined
}

/** Nodes to visit, each with the level of the filter that its children are to be held against. */
interface Walk {
  nodes: Node[]
  depths: number[]
}

/**
 * Retained messages by topic level, in memory: a filter is answered by walking the levels it names, never by
 * looking at every topic (only `#` and `+` visit what they match). Topics have to be valid (`topicFault`).
 *
 * Expired messages are never given out; their room is taken back when it is needed.
 */
export class RetainedIndex {
  #limits: RetainedLimits
  readonly #root: Node = { level: '', children: undefined, message: undefined }
  #messages = 0
  #bytes = 0
  #nodes = 0
  /** No message expires before this; ms since the epoch. */
  #nextExpiry = Number.POSITIVE_INFINITY

  constructor(limits: RetainedLimits) {
    this.#limits = limits
  }

  /** Topics that have a message, expired ones that nobody missed yet included. */
  get messages(): number {
    return this.#messages
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Smaller limits remove nothing; they hold for the next `set`. */
  setLimits(limits: RetainedLimits): void {
    this.#limits = limits
  }

  /** Replaces the message of its topic. False: there is no room, and the old message, if any, stays. */
  set(message: ApplicationMessage, now: number): boolean {
    if (this.#place(message)) return true
    return this.removeExpired(now) > 0 && this.#place(message)
  }

  /** True when there was a message, expired or not. */
  clear(topic: string): boolean {
    const levels = topic.split('/')
    const path = this.#pathOf(levels)
    const node = path[levels.length]
    if (node?.message === undefined) return false
    this.#forget(node.message)
    node.message = undefined
    for (let depth = levels.length; depth > 0 && isEmpty(path[depth]!); depth -= 1) {
      const parent = path[depth - 1]!
      parent.children = withoutChild(parent.children, path[depth]!)
      this.#nodes -= 1
    }
    return true
  }

  get(topic: string, now: number): ApplicationMessage | undefined {
    const levels = topic.split('/')
    const message = this.#pathOf(levels)[levels.length]?.message
    return message === undefined || isExpired(message, now) ? undefined : message
  }

  /**
   * Messages whose topic `filter` matches, in no particular order. The index may change between two of them:
   * what is there from start to end is found, what came or went meanwhile may be.
   */
  *match(filter: string, now: number): Generator<ApplicationMessage, void, undefined> {
    const levels = filter.split('/')
    const walk: Walk = { nodes: [this.#root], depths: [0] }
    for (let node = walk.nodes.pop(); node !== undefined; node = walk.nodes.pop()) {
      const depth = walk.depths.pop()!
      const level = levels[depth]
      if (level !== undefined) this.#descend(walk, node, { level, depth })
      // Past the last level, or before a `#`, which matches its parent too (MQTT 5 §4.7.1.2).
      if (level !== undefined && level !== '#') continue
      const { message } = node
      if (message !== undefined && !isExpired(message, now)) yield message
    }
  }

  /** Puts on the walk what `level` of the filter matches below `node`. */
  #descend(walk: Walk, node: Node, { level, depth }: { level: string; depth: number }): void {
    if (node.children === undefined) return
    if (level !== '#' && level !== '+') {
      const child = childAt(node.children, level)
      if (child !== undefined) push(walk, child, depth + 1)
      return
    }
    for (const child of childrenOf(node)) {
      // §4.7.2: a leading wildcard does not see topics that start with `$`.
      if (node === this.#root && child.level.startsWith('$')) continue
      push(walk, child, level === '#' ? depth : depth + 1)
    }
  }

  /** Takes out what has expired and tells how many; looks at every message only when one may have. */
  removeExpired(now: number): number {
    if (now < this.#nextExpiry) return 0
    const expired: string[] = []
    this.#nextExpiry = Number.POSITIVE_INFINITY
    const nodes: Node[] = [this.#root]
    for (let node = nodes.pop(); node !== undefined; node = nodes.pop()) {
      const { message } = node
      if (message !== undefined && isExpired(message, now)) expired.push(message.topic)
      else if (message?.expiresAt !== undefined) this.#expectExpiry(message.expiresAt)
      for (const child of childrenOf(node)) nodes.push(child)
    }
    for (const topic of expired) this.clear(topic)
    return expired.length
  }

  #place(message: ApplicationMessage): boolean {
    const levels = message.topic.split('/')
    const path = this.#pathOf(levels)
    const old = path[levels.length]?.message
    const bytes = messageBytes(message)
    const newNodes = levels.length + 1 - path.length
    if (this.#messages + (old === undefined ? 1 : 0) > this.#limits.messages) return false
    if (this.#bytes - (old === undefined ? 0 : messageBytes(old)) + bytes > this.#limits.bytes) return false
    if (newNodes > 0 && this.#nodes + newNodes > NODES_PER_MESSAGE * this.#limits.messages) return false
    if (old !== undefined) this.#forget(old)
    const node = this.#grow(path, levels)
    node.message = detachMessage(message)
    this.#messages += 1
    this.#bytes += bytes
    if (message.expiresAt !== undefined) this.#expectExpiry(message.expiresAt)
    return true
  }

  /** The root and the nodes of as many levels as there are. */
  #pathOf(levels: readonly string[]): Node[] {
    const path = [this.#root]
    let node: Node | undefined = this.#root
    for (const level of levels) {
      node = childAt(node.children, level)
      if (node === undefined) break
      path.push(node)
    }
    return path
  }

  #grow(path: readonly Node[], levels: readonly string[]): Node {
    let node = path.at(-1)!
    for (const level of levels.slice(path.length - 1)) {
      const child: Node = { level, children: undefined, message: undefined }
      node.children = withChild(node.children, child)
      this.#nodes += 1
      node = child
    }
    return node
  }

  #forget(message: ApplicationMessage): void {
    this.#messages -= 1
    this.#bytes -= messageBytes(message)
  }

  #expectExpiry(expiresAt: number): void {
    this.#nextExpiry = Math.min(this.#nextExpiry, expiresAt)
  }
}

function childrenOf({ children }: Node): Iterable<Node> {
  if (children === undefined) return []
  return children instanceof Map ? children.values() : [children]
}

function push({ nodes, depths }: Walk, node: Node, depth: number): void {
  nodes.push(node)
  depths.push(depth)
}

function isEmpty(node: Node): boolean {
  return node.message === undefined && node.children === undefined
}
