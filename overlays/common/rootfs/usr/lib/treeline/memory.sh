# shellcheck shell=dash disable=SC2034,SC2154 # the parts of treeline share their variables

meminfo=/proc/meminfo
cgroups=/sys/fs/cgroup

# Bytes that a program can have now: free, in caches, or in swap; less where a container may not have all of it.
free_memory() {
	free_in_all=$(awk '
		$1 == "MemAvailable:" || $1 == "SwapFree:" { free += $2 * 1024 }
		END { printf "%.0f\n", free }
	' "$meminfo")
	for limit in "$(free_in_cgroup memory.max memory.current file shmem)" \
		"$(free_in_cgroup memory/memory.limit_in_bytes memory/memory.usage_in_bytes total_cache total_shmem)"; do
		[ -z "$limit" ] || [ "$limit" -ge "$free_in_all" ] || free_in_all=$limit
	done
	echo "$free_in_all"
}

# free_in_cgroup LIMIT USED CACHE SHARED: control groups count caches as used; all but files in memory can be dropped.
# Nothing where there is no limit. Version 1 says a number beyond all memory for none.
free_in_cgroup() {
	read -r most 2>/dev/null <"$cgroups/$1" || return 0
	read -r used 2>/dev/null <"$cgroups/$2" || return 0
	is_number "$most" && is_number "$used" || return 0
	awk -v free=$((most - used)) -v cache="$3" -v shared="$4" '
		$1 == cache { free += $2 }
		$1 == shared { free -= $2 }
		END { printf "%.0f\n", (free > 0 ? free : 0) }
	' "$cgroups/$(dirname "$1")/memory.stat" 2>/dev/null
}
