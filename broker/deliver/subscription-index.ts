import { hasWildcard } from '../../contract/topic.ts'
import { type Children, childAt, withChild, withoutChild } from '../store/level-children.ts'

/** One subscription that matched. `value` may change in place when the subscription is renewed. */
export interface SubscriptionMatch<Subscriber, Value> {
  readonly subscriber: Subscriber
  readonly filter: string
  readonly value: Value
}

export interface SubscriptionIndexOptions {
  /** Topics whose matches are remembered; without it every message walks the tree. Default 10,000. */
  cachedTopics?: number
  /** Matches remembered over all topics, 8 bytes each: some topics may have very many. Default 1,000,000. */
  cachedMatches?: number
}

/** Longer topics are matched anew each time: ten thousand of 64 KiB would be 640 MB of keys. */
const LONGEST_CACHED_TOPIC = 512

type Entry<Subscriber, Value> = {
  -readonly [K in keyof SubscriptionMatch<Subscriber, Value>]: SubscriptionMatch<Subscriber, Value>[K]
}
/** Most filters have one subscriber, and a Map for one entry is several times the size of the entry. */
type Entries<Subscriber, Value> =
  | Entry<Subscriber, Value>
  | Map<Subscriber, Entry<Subscriber, Value>>
  | undefined

class Node<Subscriber, Value> {
  /** Of the filter that ends here. */
  here: Entries<Subscriber, Value>
  /** Of the filter that goes on with `#`, which matches here too (MQTT 5 §4.7.1.2). */
  open: Entries<Subscriber, Value>
  plus: Node<Subscriber, Value> | undefined
  children: Children<Node<Subscriber, Value>>
  readonly level: string

  constructor(level: string) {
    this.level = level
  }
}

const NO_MATCHES: readonly never[] = Object.freeze([])

/**
 * Who is subscribed to a topic. Filters without a wildcard are found in a map, the others in a tree by level;
 * what a topic matched is remembered. A change of a filter without a wildcard forgets that topic alone; a
 * change of one with a wildcard forgets all topics, as finding those it matches would cost more.
 *
 * Filters have to be valid (`filterFault`), which also bounds their levels. Of a shared subscription add the
 * inner filter.
 */
export class SubscriptionIndex<Subscriber, Value> {
  readonly #exact = new Map<string, Entries<Subscriber, Value>>()
  readonly #root = new Node<Subscriber, Value>('')
  readonly #ofSubscriber = new Map<Subscriber, Array<Entry<Subscriber, Value>>>()
  readonly #maxTopics: number
  readonly #maxMatches: number
  /** Two generations: a full young one becomes the old one, so that topics in use are never forgotten. */
  #young = new Map<string, ReadonlyArray<Entry<Subscriber, Value>>>()
  #old = new Map<string, ReadonlyArray<Entry<Subscriber, Value>>>()
  #youngMatches = 0
  #wildcards = 0
  #size = 0
  #version = 0
  /** The walk's stack, kept to allocate nothing. */
  readonly #nodes: Array<Node<Subscriber, Value>> = []
  readonly #depths: number[] = []

  constructor(options: SubscriptionIndexOptions = {}) {
    this.#maxTopics = (options.cachedTopics ?? 10_000) / 2
    this.#maxMatches = (options.cachedMatches ?? 1_000_000) / 2
  }

  /** Subscriptions, not filters: two subscribers of one filter count twice. */
  get size(): number {
    return this.#size
  }

  /** Rises with every change, so that what was made from a match can be kept until then. */
  get version(): number {
    return this.#version
  }

  /** What is known of the subscribers themselves has changed, so what was made from a match is void. */
  touch(): void {
    this.#version += 1
  }

  /** False: the subscriber had the filter already, and `value` has replaced the old one. */
  add(filter: string, subscriber: Subscriber, value: Value): boolean {
    this.#version += 1
    const wildcard = hasWildcard(filter)
    const node = wildcard ? this.#grow(filter) : undefined
    const entries = node === undefined ? this.#exact.get(filter) : entriesAt(node, filter)
    const known = find(entries, subscriber)
    if (known !== undefined) {
      known.value = value
      return false
    }
    const entry = { subscriber, filter, value }
    const changed = insert(entries, entry)
    if (node === undefined) this.#exact.set(filter, changed)
    else putEntries(node, filter, changed)
    const own = this.#ofSubscriber.get(subscriber)
    if (own === undefined) this.#ofSubscriber.set(subscriber, [entry])
    else own.push(entry)
    this.#size += 1
    if (wildcard) this.#wildcards += 1
    this.#forget(filter, wildcard)
    return true
  }

  /** False: there was no such subscription. */
  remove(filter: string, subscriber: Subscriber): boolean {
    const own = this.#ofSubscriber.get(subscriber)
    const index = own?.findIndex((entry) => entry.filter === filter) ?? -1
    if (own === undefined || index < 0) return false
    this.#version += 1
    own[index] = own.at(-1)!
    own.pop()
    if (own.length === 0) this.#ofSubscriber.delete(subscriber)
    this.#takeOut(filter, subscriber)
    return true
  }

  /** Returns how many subscriptions the subscriber had. */
  removeAll(subscriber: Subscriber): number {
    const own = this.#ofSubscriber.get(subscriber)
    if (own === undefined) return 0
    this.#version += 1
    this.#ofSubscriber.delete(subscriber)
    for (const { filter } of own) this.#takeOut(filter, subscriber)
    return own.length
  }

  /**
   * Every subscription whose filter matches, so a subscriber comes once for each of its filters that do. The
   * array is shared between calls and never changes: a later change of subscriptions makes a new one.
   */
  match(topic: string): ReadonlyArray<SubscriptionMatch<Subscriber, Value>> {
    const known = this.#young.get(topic)
    if (known !== undefined) return known
    const found = this.#old.get(topic) ?? this.#find(topic)
    if (topic.length <= LONGEST_CACHED_TOPIC) this.#remember(topic, found)
    return found
  }

  #remember(topic: string, found: ReadonlyArray<Entry<Subscriber, Value>>): void {
    this.#young.set(topic, found)
    this.#youngMatches += found.length
    if (this.#young.size < this.#maxTopics && this.#youngMatches < this.#maxMatches) return
    this.#old = this.#young
    this.#young = new Map()
    this.#youngMatches = 0
  }

  #forget(filter: string, wildcard: boolean): void {
    if (!wildcard) {
      this.#young.delete(filter)
      this.#old.delete(filter)
    } else if (this.#young.size > 0 || this.#old.size > 0) {
      this.#young = new Map()
      this.#old = new Map()
      this.#youngMatches = 0
    }
  }

  #find(topic: string): ReadonlyArray<Entry<Subscriber, Value>> {
    const found: Array<Entry<Subscriber, Value>> = []
    collect(this.#exact.get(topic), found)
    if (this.#wildcards > 0) this.#walk(topic, found)
    return found.length === 0 ? NO_MATCHES : found
  }

  #walk(topic: string, found: Array<Entry<Subscriber, Value>>): void {
    const levels = topic.split('/')
    const nodes = this.#nodes
    const depths = this.#depths
    const root = this.#root
    if (!topic.startsWith('$')) {
      // §4.7.2: filters that start with a wildcard don't see the others.
      collect(root.open, found)
      if (root.plus !== undefined) {
        nodes.push(root.plus)
        depths.push(1)
      }
    }
    const first = childAt(root.children, levels[0]!)
    if (first !== undefined) {
      nodes.push(first)
      depths.push(1)
    }
    for (let node = nodes.pop(); node !== undefined; node = nodes.pop()) {
      const depth = depths.pop()!
      collect(node.open, found)
      const level = levels[depth]
      if (level === undefined) {
        collect(node.here, found)
        continue
      }
      const child = childAt(node.children, level)
      if (child !== undefined) {
        nodes.push(child)
        depths.push(depth + 1)
      }
      if (node.plus !== undefined) {
        nodes.push(node.plus)
        depths.push(depth + 1)
      }
    }
  }

  #takeOut(filter: string, subscriber: Subscriber): void {
    const wildcard = hasWildcard(filter)
    if (wildcard) {
      this.#prune(filter, subscriber)
      this.#wildcards -= 1
    } else {
      const left = without(this.#exact.get(filter), subscriber)
      if (left === undefined) this.#exact.delete(filter)
      else this.#exact.set(filter, left)
    }
    this.#size -= 1
    this.#forget(filter, wildcard)
  }

  /** The node of a wildcard filter; for one that ends in `#` the node before it. */
  #grow(filter: string): Node<Subscriber, Value> {
    let node = this.#root
    for (const level of filter.split('/')) {
      if (level === '#') break
      if (level === '+') {
        node.plus ??= new Node(level)
        node = node.plus
        continue
      }
      let child = childAt(node.children, level)
      if (child === undefined) {
        child = new Node(level)
        node.children = withChild(node.children, child)
      }
      node = child
    }
    return node
  }

  /** Takes the subscription out, and with it the nodes that led to nothing else. */
  #prune(filter: string, subscriber: Subscriber): void {
    const levels = filter.split('/')
    if (levels.at(-1) === '#') levels.pop()
    const path = [this.#root]
    for (const level of levels) {
      const node: Node<Subscriber, Value> = path.at(-1)!
      path.push((level === '+' ? node.plus : childAt(node.children, level))!)
    }
    const last = path.at(-1)!
    putEntries(last, filter, without(entriesAt(last, filter), subscriber))
    for (let depth = levels.length; depth > 0 && isEmpty(path[depth]!); depth -= 1) {
      const parent = path[depth - 1]!
      if (parent.plus === path[depth]) parent.plus = undefined
      else parent.children = withoutChild(parent.children, path[depth]!)
    }
  }
}

function isEmpty<S, V>({ here, open, plus, children }: Node<S, V>): boolean {
  return here === undefined && open === undefined && plus === undefined && children === undefined
}

function entriesAt<S, V>(node: Node<S, V>, filter: string): Entries<S, V> {
  return filter.endsWith('#') ? node.open : node.here
}

function putEntries<S, V>(node: Node<S, V>, filter: string, entries: Entries<S, V>): void {
  if (filter.endsWith('#')) node.open = entries
  else node.here = entries
}

function find<S, V>(entries: Entries<S, V>, subscriber: S): Entry<S, V> | undefined {
  if (entries instanceof Map) return entries.get(subscriber)
  return entries?.subscriber === subscriber ? entries : undefined
}

function insert<S, V>(entries: Entries<S, V>, entry: Entry<S, V>): Entries<S, V> {
  if (entries === undefined) return entry
  if (entries instanceof Map) return entries.set(entry.subscriber, entry)
  return new Map([
    [entries.subscriber, entries],
    [entry.subscriber, entry],
  ])
}

function without<S, V>(entries: Entries<S, V>, subscriber: S): Entries<S, V> {
  if (!(entries instanceof Map)) return undefined
  entries.delete(subscriber)
  return entries.size === 0 ? undefined : entries
}

function collect<S, V>(entries: Entries<S, V>, into: Array<Entry<S, V>>): void {
  if (entries === undefined) return
  if (entries instanceof Map) for (const entry of entries.values()) into.push(entry)
  else into.push(entries)
}
