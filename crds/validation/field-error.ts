/** One thing that is wrong with a manifest. */
export interface FieldError {
  /** Such as `spec.listeners.mqtt.port` or `spec.messageFilters.publish.topics[0]`; empty: the whole object. */
  field: string
  /** What would be right, in the API server's own words where it has some. */
  expected: string
  /** What stands there, cut short; never the value of a field that may hold a secret, nor of an unknown one. */
  got: string
  /** The CEL rule that is broken. */
  rule?: string
}

/** Longest text of a value in a message: enough to find it, too little to flood a log. */
const SHOWN_LENGTH = 64

/** `spec` + `name` → `spec.name`; keys that are no plain word stand in brackets. */
export function fieldPath(parent: string, key: string | number): string {
  if (typeof key === 'number') return `${parent}[${key}]`
  if (!/^[A-Za-z_][A-Za-z0-9_-]*$/.test(key)) return `${parent}[${shortText(key)}]`
  return parent === '' ? key : `${parent}.${key}`
}

/** Names a value for a message. `sensitive`: only its kind and length. */
export function describeValue(value: unknown, sensitive = false): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  if (Array.isArray(value)) return `a list of ${value.length}`
  if (typeof value === 'object') return 'an object'
  if (sensitive) return `a ${typeof value} that is not shown`
  return typeof value === 'string' ? shortText(value) : String(value)
}

function shortText(text: string): string {
  if (text.length <= SHOWN_LENGTH) return JSON.stringify(text)
  return `${JSON.stringify(text.slice(0, SHOWN_LENGTH))}… (${text.length} characters)`
}

/** One line for people. */
export function formatFieldError({ field, expected, got }: FieldError): string {
  return `${field === '' ? '(object)' : field}: ${expected}, got ${got}`
}
