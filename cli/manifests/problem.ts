import type { FieldError } from '../../crds/validation/field-error.ts'

/** Something in the folder of manifests that has to be put right before it can be used. */
export interface Problem {
  /** As the user would name it: relative to the working directory where that is shorter. */
  file: string
  /** From 1; absent when the file as a whole is meant. */
  line?: number
  error: FieldError
}

/** `file:line: field: expected …, got …`; where the API server has a sentence of its own, that sentence. */
export function formatProblem({ file, line, error }: Problem): string {
  const place = line === undefined ? file : `${file}:${line}`
  const field = error.field === '' ? '' : `${error.field}: `
  return `${place}: ${field}${asSentence(error.expected)}, got ${error.got}`
}

/** Things are `expected`; rules (`must be …`, `two open listeners cannot …`) are sentences already. */
const asSentence = (expected: string): string =>
  /^(one of|an?|no|at (most|least)) |^(v1|iot\.hublet\.dev\/\w+)$/.test(expected) &&
  !expected.includes(' must ')
    ? `expected ${expected}`
    : expected

/** In the order in which a reader goes through the files. */
export function byPlace(a: Problem, b: Problem): number {
  if (a.file !== b.file) return a.file < b.file ? -1 : 1
  return (a.line ?? 0) - (b.line ?? 0)
}
