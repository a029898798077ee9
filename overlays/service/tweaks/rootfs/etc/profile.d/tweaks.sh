# shellcheck shell=dash
# Limits of logins: no core dumps, and as many open files as services have, or as the system lets this user have.
ulimit -c 0
ulimit -n 65536 2>/dev/null || ulimit -S -n "$(ulimit -H -n)"
