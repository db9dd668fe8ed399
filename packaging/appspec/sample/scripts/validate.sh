#!/bin/sh
set -eu
systemctl is-active --quiet sample.service
