#!/bin/sh
set -eu
systemctl stop sample.service
