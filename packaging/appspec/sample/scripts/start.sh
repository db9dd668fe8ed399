#!/bin/sh
set -eu
systemctl daemon-reload
systemctl start sample.service
