/** What an API server takes as it is, and no route worker can work with. */
import type { RouteSpec } from '../../crds/route.ts'
import { describeValue, type FieldError } from '../../crds/validation/field-error.ts'
import { parseQuery, VARIABLES } from '../../routes/sinks/sql/query-variables.ts'
import { expressionFault } from '../../routes/transform/expressions.ts'
import { type ManifestSet, ofKind } from './manifest-set.ts'
import { byPlace, type Problem } from './problem.ts'

/** Filters and transforms that do not compile, and queries that cannot be read, of all routes. */
export function expressionProblems(set: ManifestSet): Problem[] {
  return ofKind(set, 'Route')
    .flatMap(({ object, source: { file, lineOf } }) =>
      faultsOf(object.spec).map((error) => ({ file, line: lineOf(error.field), error })),
    )
    .sort(byPlace)
}

function faultsOf({ filter, transform, database }: RouteSpec): FieldError[] {
  return [
    ...(filter === undefined ? [] : expressionError('filter', filter.expression, 'CEL')),
    ...(transform === undefined
      ? []
      : expressionError('transform', transform.expression, transform.language)),
    ...(database === undefined ? [] : queryError(database)),
  ]
}

function expressionError(
  name: 'filter' | 'transform',
  text: string,
  language: 'CEL' | 'JSONata',
): FieldError[] {
  const fault = expressionFault(name, text, language)
  if (fault === undefined) return []
  const field = `spec.${name}.expression`
  const why = fault.replace(`${name}.expression: `, '')
  return [{ field, expected: `an expression in ${language}`, got: `${describeValue(text)} (${why})` }]
}

function queryError({ query, engine }: NonNullable<RouteSpec['database']>): FieldError[] {
  const parsed = parseQuery(query, engine)
  if (!('fault' in parsed)) return []
  const names = VARIABLES.map((name) => `$${name}`).join(', ')
  const got = parsed.fault.split(', got ').at(-1) ?? ''
  return [{ field: 'spec.database.query', expected: `a query with no placeholders but ${names}`, got }]
}
