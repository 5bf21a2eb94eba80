#!/bin/sh
# Migrates the schema of every service, each as its owner.
set -eu
for url in /run/remit/*-owner-url; do
  service=$(basename "$url" -owner-url)
  REMIT_DATABASE_OWNER_URL_FILE=$url REMIT_DATABASE_APP_ROLE=remit_$service \
    node "/remit/services/$service/src/migrate.ts"
done
