import { expect, test } from 'vitest'
import { subjectOf } from './subject.ts'

test.each([
  ['iot', 'a/b', 'iot'],
  ['{{ topic }}', 'a/b', 'a.b'],
  ['iot.{{topic}}', 'sensors/1/temperature', 'iot.sensors.1.temperature'],
  ['{{ topic }}', '/a//b/', '%.a.%.b.%'],
  ['{{ topic }}', 'a.b/c d/*/>', 'a%2Eb.c%20d.%2A.%3E'],
  ['{{ topic }}', '50%/%2E', '50%25.%252E'],
  ['{{ topic }}', 'größe/🌡/\u2003', 'größe.🌡.%E2%80%83'],
  ['{{ topic }}', '$&/$1', '$&.$1'],
])('The pattern %s makes of the topic %s the subject %s', (pattern, topic, subject) => {
  expect(subjectOf(pattern, topic)).toBe(subject)
})
