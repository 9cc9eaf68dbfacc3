/** MQTT topic syntax as CEL rules (MQTT 3.1.1 §4.7). A test holds them to `contract/topic.ts`, the broker's reading. */
import type { CelRule } from './fields.ts'

/** Bound of a topic filter in a spec; MQTT itself allows 65,535 bytes. */
export const FILTER_MAX_LENGTH = 4096

// Control characters would reach headers of routes, logs and terminals.
const FORBIDDEN = '\\x00-\\x1f\\x7f-\\x9f'
const LEVEL = `(\\+|[^+#/${FORBIDDEN}]*)`

/** Raw, so that a backslash is a backslash. U+FFFD is what a decoder puts where bytes were no UTF-8. */
const text = (expression: string) => `self.matches(r'${expression}') && !self.contains('\\uFFFD')`

const levelsRule: CelRule = {
  rule: "self.matches(r'^([^/]*/){0,99}[^/]*$')",
  message: 'must have at most 100 levels',
}

/** Of a field that holds a topic filter: `a/+/c`, `a/#`. */
export const filterRules: readonly CelRule[] = [
  {
    rule: text(`^(${LEVEL}(/${LEVEL})*(/#)?|#)$`),
    message:
      'must be an MQTT topic filter: + stands for a whole level, # for the last levels, no control characters',
  },
  levelsRule,
]

/** Of a field whose levels are put before a topic. */
export const prefixRules: readonly CelRule[] = [
  {
    rule: text(`^[^+#${FORBIDDEN}]*$`),
    message: 'must hold no wildcard (+ or #) and no control character',
  },
  {
    rule: "!self.startsWith('/') && !self.endsWith('/')",
    message: 'must not begin or end with a slash: one is put between prefix and topic',
  },
]
