import { expect, test } from 'vitest'
import { isPerTopic, kafkaTopicOf } from './kafka-topic.ts'

test.each([
  ['iot', 'a/b', 'iot'],
  ['{{ topic }}', 'sensors/1/temperature', 'sensors.1.temperature'],
  ['iot.{{topic}}-v1', 'a/b', 'iot.a.b-v1'],
  ['{{ topic }}', '/a b//größe/🌡', '.a_b..gr__e._'],
  ['{{ topic }}', '$&/$1', '__._1'],
])('The pattern %s makes of the topic %s the Kafka topic %s', (pattern, topic, name) => {
  expect(kafkaTopicOf(pattern, topic)).toEqual({ name })
})

test.each([
  ['/', 'Kafka allows no topic .'],
  ['//', 'Kafka allows no topic ..'],
  ['x'.repeat(250), 'the Kafka topic is longer than 249 characters'],
])('The topic %s has no Kafka topic', (topic, fault) => {
  expect(kafkaTopicOf('{{ topic }}', topic)).toEqual({ fault })
})

test('A pattern is told from the name of one topic', () => {
  expect(['iot', 'iot.{{ topic }}', '{{topic}}'].map(isPerTopic)).toEqual([false, true, true])
})
