/**
 * Takes secrets out of what goes into a support bundle. Secrets are not read in the first place; this is for what may
 * stand elsewhere by design (headers of routes) or by mistake (a password in a URL). Pure.
 */

const REDACTED = '<redacted>'

/** Each finds secrets in any text; `$1` and `$2` stay. */
const PATTERNS: ReadonlyArray<readonly [RegExp, string]> = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|$)/g, REDACTED],
  // User and password of a URL, and its query, which often holds a token.
  [/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/?#@"']+@/gi, `$1${REDACTED}@`],
  [/\b([a-z][a-z0-9+.-]*:\/\/[^\s?#"']+)\?[^\s#"']+/gi, `$1?${REDACTED}`],
  // JSON Web Tokens, verifiers of passwords, credentials of HTTP.
  [/\beyJ[\w-]{4,}\.[\w-]{4,}\.[\w-]*/g, REDACTED],
  [/\bscrypt\$[^\s"']+/g, REDACTED],
  [/\b(Bearer|Basic|Digest)\s+[^\s"',]+/gi, `$1 ${REDACTED}`],
  [
    /\b((?:[\w-]*[_-])?(?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|authorization|x-secret))(["']?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s,;&}]+)/gi,
    `$1$2${REDACTED}`,
  ],
]

export const redactText = (text: string): string =>
  PATTERNS.reduce((clean, [pattern, replacement]) => clean.replace(pattern, replacement), text)

const SECRET_FIELD =
  /password|passwd|passphrase|secret|token|credential|api_?key|access_?key|private_?key|authorization/i
/** Names of objects that hold secrets, which are what one has to know. */
const REFERENCE = /(Name|Ref|Refs|refs|Secrets)$/
/** Annotations of these domains say nothing secret; one of another may say anything. */
const KNOWN_ANNOTATION =
  /^(([\w-]+\.)*iot\.hublet\.dev|([\w-]+\.)*kubernetes\.io|([\w-]+\.)*k8s\.io|meta\.helm\.sh)\//
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration'
/** Settings that the operator gives to its pods: see contract/broker-pod.ts. None of them is a secret. */
const OUR_VARIABLE = /^HUBLET_/

/** A copy of a Kubernetes object, or of a list of them, without what may be a secret. */
export function redactObject(value: unknown, field = ''): unknown {
  if (typeof value === 'string')
    return SECRET_FIELD.test(field) && !REFERENCE.test(field) ? REDACTED : redactText(value)
  if (Array.isArray(value)) return value.map((item) => redactItem(item, field))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).filter(([name]) => name !== 'managedFields')
  if (field === 'annotations')
    return Object.fromEntries(entries.filter(isNotLastApplied).map(redactAnnotation))
  return Object.fromEntries(entries.map(([name, child]) => [name, redactObject(child, name)]))
}

/** Names and values of variables and headers stand apart, so the value alone does not tell what it is. */
function redactItem(item: unknown, list: string): unknown {
  const clean = redactObject(item, list)
  if (typeof clean !== 'object' || clean === null || !('value' in clean)) return clean
  const { name } = clean as { name?: unknown }
  if (list === 'headers') return { ...clean, value: REDACTED }
  if (list === 'env' && !OUR_VARIABLE.test(String(name))) return { ...clean, value: REDACTED }
  return clean
}

const isNotLastApplied = ([name]: [string, unknown]) => name !== LAST_APPLIED

const redactAnnotation = ([name, value]: [string, unknown]): [string, unknown] => [
  name,
  KNOWN_ANNOTATION.test(name) ? redactObject(value) : REDACTED,
]
