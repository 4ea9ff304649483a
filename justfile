# SPDX-License-Identifier: MPL-2.0

# List what can be done
default:
    @just --list

# Compile and lint the library and its tests for illumos, from another system
check-illumos *args:
    scripts/check-illumos.sh {{ args }}
