/**
 * The few schema shapes that a Kubernetes structural schema can hold. TypeBox prints a union of literals as
 * `anyOf` + `const` and a record as `patternProperties`, which no API server takes, so kinds are written with
 * these helpers; `structural.ts` refuses everything else.
 */
import type { Static, TProperties, TSchema } from 'typebox'
import { Type } from 'typebox'

/** One CEL rule (`x-kubernetes-validations`). Only the core CEL library may be used: API servers from 1.33 on. */
export interface CelRule {
  /** `self` is the value at the schema node; a rule with `oldSelf` is checked on updates only. */
  rule: string
  /** What the user reads; says what is expected. */
  message: string
  /** Path below `self` of the field to blame, such as `.exposure.gatewayRef`; `self` when left out. */
  fieldPath?: string
}

/** Schema keywords beside the type. Every field needs a description: it is what `kubectl explain` prints. */
interface FieldOptions {
  description: string
  rules?: readonly CelRule[]
}

interface TextOptions extends FieldOptions {
  default?: string
  minLength?: number
  /** Every string has a bound: the API server prices a CEL rule by it. */
  maxLength: number
  pattern?: string
  /** May hold a secret by mistake or by design: our messages never repeat it (OpenAPI format `password`). */
  sensitive?: boolean
}

interface IntegerOptions extends FieldOptions {
  default?: number
  minimum: number
  maximum: number
}

interface ListOptions extends FieldOptions {
  default?: readonly unknown[]
  minItems?: number
  maxItems: number
  /** Field names that identify an item: the list merges by them in server-side apply. */
  mapKeys?: readonly string[]
  /** No two items may be equal (`x-kubernetes-list-type: set`). */
  set?: boolean
}

interface BlockOptions extends FieldOptions {
  /**
   * What stands there when the block is left out; `{}` makes the defaults inside apply. The API server checks
   * a default against the block's own rules before the defaults inside it apply, so a rule that reads such a
   * field belongs to a node without a default, further up, with a `fieldPath`.
   */
  default?: Readonly<Record<string, unknown>>
}

const withRules = <T extends { rules?: readonly CelRule[] }>({ rules, ...options }: T) =>
  rules === undefined ? options : { ...options, 'x-kubernetes-validations': rules }

/** A bounded string. */
export const Text = ({ sensitive, ...options }: TextOptions) =>
  Type.String({ ...withRules(options), ...(sensitive === true ? { format: 'password' } : {}) })

/** One word of a fixed list. */
export const Choice = <const T extends readonly string[]>(
  values: T,
  options: FieldOptions & { default?: T[number] },
) => Type.Unsafe<T[number]>({ type: 'string', enum: [...values], ...withRules(options) })

/** A whole number with both bounds. */
export const Whole = (options: IntegerOptions) =>
  Type.Integer({ ...withRules(options), ...(options.maximum > 2 ** 31 - 1 ? { format: 'int64' } : {}) })

/** Yes or no. */
export const Flag = (options: FieldOptions & { default?: boolean }) => Type.Boolean(withRules(options))

/** A point in time, RFC 3339. */
export const Time = (options: FieldOptions) => Type.String({ format: 'date-time', ...withRules(options) })

/** A bounded list. */
export function List<T extends TSchema>(items: T, options: ListOptions) {
  const { mapKeys, set, ...rest } = options
  return Type.Array(items, {
    ...withRules(rest),
    ...(mapKeys === undefined
      ? {}
      : { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': [...mapKeys] }),
    ...(set === true ? { 'x-kubernetes-list-type': 'set' } : {}),
  })
}

/** Free keys, values of one shape. */
export const MapOf = <T extends TSchema>(value: T, options: BlockOptions & { maxProperties: number }) =>
  Type.Unsafe<Record<string, Static<T>>>({
    type: 'object',
    additionalProperties: value,
    ...withRules(options),
  })

/** An object with named fields. */
export const Block = <T extends TProperties>(properties: T, options: BlockOptions) =>
  Type.Object(properties, withRules(options))

/** An object of a Kubernetes API that we pass on as it is and the API server checks when we use it. */
export const Opaque = (options: FieldOptions) =>
  Type.Unsafe<Record<string, unknown>>({
    type: 'object',
    'x-kubernetes-preserve-unknown-fields': true,
    ...withRules(options),
  })

/** A rule for a block of which exactly one field may be set. */
export const exactlyOneOf = (names: readonly string[]): CelRule => ({
  rule: `[${names.map((name) => `has(self.${name})`).join(', ')}].exists_one(x, x)`,
  message: `exactly one of ${names.join(', ')} must be set`,
})
