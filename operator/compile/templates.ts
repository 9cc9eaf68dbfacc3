import type { FilterRule } from '../../contract/hub-state.ts'
import { filterFault } from '../../contract/topic.ts'

/** Variable name, such as `device.id`, → value. */
export type TemplateVariables = Readonly<Record<string, string>>

export type Expansion = { valid: true; filter: string } | { valid: false; fault: string }

/** One direction of a device's filter, and what was wrong with its entries. */
export interface ExpandedRule {
  rule: FilterRule
  /** One text an entry: where it stands, the entry, the fault. */
  errors: string[]
}

// `{{ name }}`, or a pair of braces that is none: reported, never passed on as part of a topic.
const TEMPLATE = /\{\{(.*?)\}\}|\{\{|\}\}/g
const VARIABLE = /^\s*([A-Za-z][A-Za-z0-9.]*)\s*$/

/**
 * Expands every entry of one direction. An entry that cannot be expanded closes the whole direction: leaving
 * out one entry of a Reject list would open what it was to close.
 *
 * @param direction `publish` or `subscribe`, for the error texts
 */
export function expandRule(
  { policy, topics }: Readonly<FilterRule>,
  variables: TemplateVariables,
  direction: string,
): ExpandedRule {
  const expansions = topics.map((topic) => expandTopic(topic, variables))
  const errors = expansions.flatMap((expansion, index) =>
    expansion.valid
      ? []
      : [`${direction}.topics[${index}] ${JSON.stringify(topics[index])}: ${expansion.fault}`],
  )
  if (errors.length > 0) return { rule: { policy: 'Accept', topics: [] }, errors }
  return { rule: { policy, topics: expansions.flatMap((done) => (done.valid ? [done.filter] : [])) }, errors }
}

/** Replaces `{{ name }}` by its value. What the values put in never makes the filter wider than it reads. */
export function expandTopic(topic: string, variables: TemplateVariables): Expansion {
  let fault: string | undefined
  const filter = topic.replace(TEMPLATE, (whole, inner: string | undefined) => {
    const result = lookUp(whole, inner, variables)
    if ('fault' in result) fault ??= result.fault
    return 'value' in result ? result.value : ''
  })
  fault ??= widened(topic, filter)
  const broken = filterFault(filter)
  if (fault === undefined && broken !== undefined) fault = `the filter ${broken}`
  return fault === undefined ? { valid: true, filter } : { valid: false, fault }
}

function lookUp(
  whole: string,
  inner: string | undefined,
  variables: TemplateVariables,
): { value: string } | { fault: string } {
  if (inner === undefined) return { fault: `${whole} without its counterpart` }
  const name = VARIABLE.exec(inner)?.[1]
  if (name === undefined) return { fault: `${whole} does not name a variable` }
  if (!Object.hasOwn(variables, name)) return { fault: `unknown variable ${name}` }
  const value = variables[name] ?? ''
  const fault = valueFault(value)
  return fault === undefined ? { value } : { fault: `the value of ${name} ${fault}` }
}

/** A value has to stay within one level, and be one that only itself matches. */
function valueFault(value: string): string | undefined {
  if (value === '') return 'is empty'
  const character = /[+#/\0]/.exec(value)?.[0]
  return character === undefined ? undefined : `holds ${JSON.stringify(character)}`
}

/** A device named `$hub` must not turn `{{ device.name }}/#` into the hub's own topics. */
function widened(topic: string, filter: string): string | undefined {
  if (!filter.startsWith('$') || topic.startsWith('$')) return undefined
  return 'a value makes the filter begin with $'
}
