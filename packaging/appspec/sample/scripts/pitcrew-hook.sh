#!/bin/sh
exec pitcrew hook
