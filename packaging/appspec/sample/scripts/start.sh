#!/bin/sh
set -eu
systemctl daemon-reload
# Not `start`: on a first deployment, which has no ApplicationStop, the image's own copy may be running.
systemctl restart sample.service
