#!/bin/sh
# Makes the users of users.sql when the image's server starts for the first time. The image calls it with the
# administrator's CLICKHOUSE_USER and CLICKHOUSE_PASSWORD in its environment, where the client finds them by itself; the
# three passwords go in by standard input. So none of them is on a command line.
set -eu

text() { # A literal of SQL. What a parameter is set to is unescaped a second time.
  printf "'%s'" "$(printf '%s' "$1" | sed -e 's/\\/\\\\\\\\/g' -e "s/'/\\\\'/g")"
}

{
  printf 'SET param_migrator_password = %s;\n' "$(text "$MIGRATOR_PASSWORD")"
  printf 'SET param_writer_password = %s;\n' "$(text "$WRITER_PASSWORD")"
  printf 'SET param_reader_password = %s;\n' "$(text "$READER_PASSWORD")"
  cat "${USERS_SQL:-/etc/carbonflow/users.sql}"
} | clickhouse-client --host 127.0.0.1 --multiquery
