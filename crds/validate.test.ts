import { expect, test } from 'vitest'
import { INVALID_OBJECTS } from './invalid-objects.ts'
import { validate } from './validate.ts'
import { formatFieldError } from './validation/field-error.ts'

test('the table of invalid objects is as long as promised, and its titles tell the rows apart', () => {
  expect(INVALID_OBJECTS.length).toBeGreaterThanOrEqual(60)
  expect(new Set(INVALID_OBJECTS.map(({ title }) => title)).size).toBe(INVALID_OBJECTS.length)
})

test.each(INVALID_OBJECTS)('$title is refused', ({ manifest, oldManifest, field, message }) => {
  if (oldManifest !== undefined) expect(validate(oldManifest)).toMatchObject({ valid: true })
  const result = validate(manifest, { oldManifest })
  if (result.valid) throw new Error('expected errors, got a valid object')
  expect([...new Set(result.errors.map((error) => error.field))]).toEqual([field])
  expect(result.errors.map(formatFieldError).join('\n')).toContain(message)
})
