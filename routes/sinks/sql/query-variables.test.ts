import { describe, expect, it } from 'vitest'
import { parseQuery, type SqlDialect } from './query-variables.ts'

/** The placeholders are shown as the variables they stand for. */
function parsed(query: string, dialect: SqlDialect): string {
  const result = parseQuery(query, dialect)
  if ('fault' in result) return result.fault
  return `${result.text} ← ${result.variables.join(' ')}`
}

describe('variables of a PostgreSQL query', () => {
  it.each([
    ['are numbered in order', 'VALUES (NOW(), $TOPIC, $PAYLOAD)', 'VALUES (NOW(), $1, $2) ← TOPIC PAYLOAD'],
    ['have one parameter for each use', '$PAYLOAD, $PAYLOAD::jsonb', '$1, $2::jsonb ← PAYLOAD PAYLOAD'],
    [
      'may be all of them, but do not run together',
      '$ID$QOS,$RETAIN,$DEVICE,$TIME',
      '$ID$QOS,$1,$2,$3 ← RETAIN DEVICE TIME',
    ],
    ['end where their name ends', '$TOPICS $TOPIC_ $TOPIC', '$TOPICS $TOPIC_ $1 ← TOPIC'],
    ['are written in capitals', '$topic $TOPIC', '$topic $1 ← TOPIC'],
    ['are text in a string', "'$TOPIC' '''$TOPIC' $TOPIC", "'$TOPIC' '''$TOPIC' $1 ← TOPIC"],
    ['are text in a string with escapes', "E'\\'$TOPIC' $TOPIC", "E'\\'$TOPIC' $1 ← TOPIC"],
    ['follow a string that ends in a backslash', "'\\' $TOPIC", "'\\' $1 ← TOPIC"],
    ['are text in a quoted name', '"a""$TOPIC" $TOPIC', '"a""$TOPIC" $1 ← TOPIC'],
    ['are text in a comment', '-- $TOPIC\n$TOPIC', '-- $TOPIC\n$1 ← TOPIC'],
    ['are text in nested comments', '/* /* $ID */ $ID */ $TOPIC', '/* /* $ID */ $ID */ $1 ← TOPIC'],
    ['are text in a comment without end', '/* /* $ID */ $TOPIC', '/* /* $ID */ $TOPIC ← '],
    ['are text between dollars', '$$ $ID $$ $f$ $ID $$ $f$ $ID', '$$ $ID $$ $f$ $ID $$ $f$ $1 ← ID'],
    ['are no part of a name', 'a$TOPIC é$TOPIC ($TOPIC)', 'a$TOPIC é$TOPIC ($1) ← TOPIC'],
    ['stand beside JSON operators', "$PAYLOAD::jsonb ? 'a'", "$1::jsonb ? 'a' ← PAYLOAD"],
    [
      'cannot be mixed with numbers',
      'SELECT $1, $TOPIC',
      expect.stringMatching(/^query: expected .*got \$1$/),
    ],
  ])('%s', (_, query, expected) => {
    expect(parsed(query, 'PostgreSQL')).toEqual(expected)
  })
})

describe('variables of a MySQL query', () => {
  it.each([
    ['are question marks', 'VALUES ($TOPIC, $PAYLOAD)', 'VALUES (?, ?) ← TOPIC PAYLOAD'],
    ['are not the paths of JSON', "JSON_EXTRACT($PAYLOAD,'$.user')", "JSON_EXTRACT(?,'$.user') ← PAYLOAD"],
    ['are text in a string with escapes', "'\\'$ID' \"$ID\" $ID", "'\\'$ID' \"$ID\" ? ← ID"],
    ['are text in a quoted name', '`$ID``` $ID', '`$ID``` ? ← ID'],
    ['are text in comments', '# $ID\n-- $ID\n/* $ID */ $ID', '# $ID\n-- $ID\n/* $ID */ ? ← ID'],
    ['follow two dashes that are no comment', '1--$QOS', '1--? ← QOS'],
    ['cannot be mixed with question marks', 'SELECT ?', expect.stringMatching(/^query: expected .*got \?$/)],
    ['leave question marks in strings alone', "'?' $ID", "'?' ? ← ID"],
  ])('%s', (_, query, expected) => {
    expect(parsed(query, 'MySQL')).toEqual(expected)
  })
})
