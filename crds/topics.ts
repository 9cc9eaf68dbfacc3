/** MQTT topic syntax as CEL rules (MQTT 3.1.1 §4.7); the broker's own check is in `contract/topic.ts`. */
import type { CelRule } from './fields.ts'

/** Bound of a topic filter in a spec; MQTT itself allows 65,535 bytes. */
export const FILTER_MAX_LENGTH = 4096

/** Of a field that holds a topic filter: `a/+/c`, `a/#`. */
export const filterRule: CelRule = {
  rule: "self.matches('^((\\\\+|[^+#/\\\\x00]*)(/(\\\\+|[^+#/\\\\x00]*))*(/#)?|#)$')",
  message: 'must be an MQTT topic filter: + stands for a whole level, # for the last levels',
}

/** Of a field whose levels are put before a topic. */
export const prefixRules: readonly CelRule[] = [
  {
    rule: "!self.contains('+') && !self.contains('#') && !self.matches('\\\\x00')",
    message: 'must hold no wildcard (+ or #) and no NUL',
  },
  {
    rule: "!self.startsWith('/') && !self.endsWith('/')",
    message: 'must not begin or end with a slash: one is put between prefix and topic',
  },
]
