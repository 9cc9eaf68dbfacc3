/**
 * Topic names and topic filters as MQTT 3.1.1 §4.7 and MQTT 5 §4.7–4.8 define them. Everything that decides by
 * topic (device filters, subscriptions, routes, networks, validation) goes through this file, so there is one
 * reading of the wildcards. Topics that start with `$` are hidden from filters that start with a wildcard.
 *
 * `matches` runs per message: it walks both strings once and allocates nothing. It, `covers` and `overlaps`
 * expect valid input (`topicFault` / `filterFault` answered undefined); anything else gets an
 * answer without meaning, never an exception.
 */

const SLASH = 0x2f
const PLUS = 0x2b
const HASH = 0x23
const DOLLAR = 0x24

/**
 * Levels of a topic or filter. A level costs one node and one recursion step in a subscription tree, and
 * 65 535 bytes of slashes would be 65 536 of them; real topics stay below ten, and aedes has the same cap.
 */
export const MAX_TOPIC_LEVELS = 100

/** MQTT 3.1.1 §1.5.3: the length of a string is sent in two bytes. */
export const MAX_TOPIC_BYTES = 65_535

const SHARE = '$share'

/** A shared subscription (MQTT 5 §4.8.2): `$share/<group>/<filter>`. */
export interface SharedFilter {
  group: string
  filter: string
}

/** Why `topic` cannot be published to, in words that follow "the topic"; undefined: it is valid. */
export function topicFault(topic: string): string | undefined {
  const fault = textFault(topic)
  if (fault !== undefined) return fault
  if (topic.includes('+') || topic.includes('#')) return 'has a wildcard, which only filters may have'
  return undefined
}

/**
 * Why `filter` cannot be subscribed to, in words that follow "the filter"; undefined: it is valid. A filter
 * under `$share` has to be a whole shared subscription.
 */
export function filterFault(filter: string): string | undefined {
  const fault = textFault(filter) ?? wildcardFault(filter)
  if (fault !== undefined) return fault
  return isShared(filter) ? shareFault(filter) : undefined
}

/** True for every filter under `$share`, also for one that is no valid shared subscription. */
export function isShared(filter: string): boolean {
  return filter.startsWith(SHARE) && (filter.length === SHARE.length || filter[SHARE.length] === '/')
}

/** The two parts of a valid shared subscription; undefined: not shared (`isShared`), or not valid. */
export function parseSharedFilter(filter: string): SharedFilter | undefined {
  if (!isShared(filter) || shareFault(filter) !== undefined) return undefined
  const end = filter.indexOf('/', SHARE.length + 1)
  return { group: filter.slice(SHARE.length + 1, end), filter: filter.slice(end + 1) }
}

/** True when the filter holds `+` or `#`, so that it may match more than one topic. */
export function hasWildcard(filter: string): boolean {
  return filter.includes('+') || filter.includes('#')
}

/** Does `filter` match `topic`? Neither is a shared subscription: ask with its inner filter. */
export function matches(filter: string, topic: string): boolean {
  if (isHiddenFrom(filter, topic)) return false
  let f = 0
  let t = 0
  for (;;) {
    const first = filter.charCodeAt(f)
    if (first === HASH) return true
    const length = first === PLUS ? levelLength(topic, t) : equalLevel(filter, f, topic, t)
    if (length < 0) return false
    f += first === PLUS ? 1 : length
    t += length
    if (t === topic.length) return f === filter.length || isOpenTail(filter, f)
    if (f === filter.length) return false
    f += 1
    t += 1
  }
}

/**
 * Does `filter` match every topic that `other` matches? Exact, `$` rule included: `#` does not cover
 * `$hub/#`, and `+/#` covers `#`.
 */
export function covers(filter: string, other: string): boolean {
  // Read as a topic, a `+` in `other` is a level that only `+` and `#` take: just what covering it needs.
  if (!other.endsWith('#')) return matches(filter, other)
  return filter.endsWith('#') && matches(filter, shortestMatch(other))
}

/** Is there a topic that both filters match? Exact, `$` rule included. */
export function overlaps(a: string, b: string): boolean {
  if (isHiddenFrom(a, b) || isHiddenFrom(b, a)) return false
  let i = 0
  let j = 0
  for (;;) {
    const firstA = a.charCodeAt(i)
    const firstB = b.charCodeAt(j)
    if (firstA === HASH || firstB === HASH) return true
    if (firstA !== PLUS && firstB !== PLUS && equalLevel(a, i, b, j) < 0) return false
    i += levelLength(a, i)
    j += levelLength(b, j)
    if (i === a.length) return j === b.length || endsInParent(b, j)
    if (j === b.length) return endsInParent(a, i)
    i += 1
    j += 1
  }
}

/** §4.7.2: a filter that starts with a wildcard never sees what starts with `$`. */
function isHiddenFrom(filter: string, subject: string): boolean {
  if (subject.charCodeAt(0) !== DOLLAR) return false
  const first = filter.charCodeAt(0)
  return first === PLUS || first === HASH
}

/** A loop and not `indexOf`: levels are short, and the call alone costs more than most of them. */
function levelLength(text: string, from: number): number {
  let end = from
  while (end < text.length && text.charCodeAt(end) !== SLASH) end += 1
  return end - from
}

/** Length of the level that starts at `i` in `a` and at `j` in `b` when both are the same text, else -1. */
function equalLevel(a: string, i: number, b: string, j: number): number {
  for (let length = 0; ; length += 1) {
    const charA = i + length < a.length ? a.charCodeAt(i + length) : SLASH
    const charB = j + length < b.length ? b.charCodeAt(j + length) : SLASH
    if (charA !== charB) return -1
    if (charA === SLASH) return length
  }
}

/** Does the filter end in `/#` from here? It then matches the level before as well (§4.7.1.2). */
function isOpenTail(filter: string, at: number): boolean {
  return at + 2 === filter.length && filter.charCodeAt(at + 1) === HASH
}

/**
 * The least that a filter with `#` matches, `+` standing for any level: what covers it, and is open itself,
 * covers all. It is the parent of the `#`, except where there is none, as a topic is never empty.
 */
function shortestMatch(filter: string): string {
  if (filter === '#') return '+'
  if (filter === '/#') return '/+'
  return filter.slice(0, -2)
}

/** The one common topic would be the parent of the `#`; the parent of `/#` is the empty topic, which is none. */
function endsInParent(filter: string, at: number): boolean {
  return at > 0 && isOpenTail(filter, at)
}

function textFault(text: string): string | undefined {
  if (text.length === 0) return 'is empty'
  // A UTF-16 unit is three bytes of UTF-8 at most, so short texts need no counting.
  if (text.length * 3 > MAX_TOPIC_BYTES && Buffer.byteLength(text) > MAX_TOPIC_BYTES) {
    return `is longer than ${MAX_TOPIC_BYTES} bytes`
  }
  if (!text.isWellFormed()) return 'has a lone surrogate'
  let levels = 1
  for (let i = 0; i < text.length; i += 1) {
    const char = text.charCodeAt(i)
    if (char === SLASH) levels += 1
    else if (isForbidden(char)) return forbiddenFault(char)
  }
  return levels > MAX_TOPIC_LEVELS ? `has more than ${MAX_TOPIC_LEVELS} levels` : undefined
}

/**
 * NUL is forbidden outright (§1.5.3). A receiver may also refuse control characters: in here they would reach
 * HTTP headers of routes, log lines and terminals. U+FFFD is what a decoder puts where bytes were no UTF-8
 * (§1.5.3 wants those refused): once decoded, different bad bytes would be one and the same topic.
 */
function isForbidden(char: number): boolean {
  return char < 0x20 || (char >= 0x7f && char <= 0x9f) || char === 0xfffd
}

function forbiddenFault(char: number): string {
  if (char === 0) return 'has a NUL character'
  if (char === 0xfffd) return 'is not valid UTF-8 (U+FFFD)'
  return `has a control character (U+${char.toString(16).toUpperCase().padStart(4, '0')})`
}

function wildcardFault(filter: string): string | undefined {
  const last = filter.length - 1
  for (let i = 0; i <= last; i += 1) {
    const char = filter.charCodeAt(i)
    if (char !== PLUS && char !== HASH) continue
    const alone =
      (i === 0 || filter.charCodeAt(i - 1) === SLASH) && (i === last || filter.charCodeAt(i + 1) === SLASH)
    if (!alone) return `has a "${filter[i]}" that does not fill its level`
    if (char === HASH && i !== last) return 'has a "#" that is not its last level'
  }
  return undefined
}

function shareFault(filter: string): string | undefined {
  const start = SHARE.length + 1
  const end = filter.indexOf('/', start)
  if (end < 0 || end === filter.length - 1) return 'is no $share/<group>/<filter>'
  const group = filter.slice(start, end)
  if (group === '' || hasWildcard(group)) return 'has a share group that is empty or a wildcard'
  if (isShared(filter.slice(end + 1))) return 'has a shared filter inside a shared filter'
  return undefined
}
