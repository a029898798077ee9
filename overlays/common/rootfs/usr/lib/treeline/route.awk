# The cheapest way to a commit, by bytes, over the deltas of an update index: one delta, several behind one another, or one
# from nothing. Reads what json.awk makes of the index. Variables:
#   ref, to   the commit, and whose deltas count
#   from      commits that are there, blanks between
#   memory    bytes that are free: deltas that need more do not count; empty: all count
#   have      checksums of the deltas that count, blanks between; empty: all count
#   kernels   whether the pairs of a kernel's delta and the rest's count; empty: none does
# Prints the deltas in the order in which they apply: FILE BYTES SHA256 UNPACKED-BYTES MEMORY; that of a kernel goes on:
# COMMIT OLD NEW START, what bring_kernel needs. Nothing where there is no way; exit code 1 where the index says what
# cannot be. Bellman and Ford's algorithm: there are few deltas.

BEGIN { FS = "\t" }

$1 ~ /^\/deltas\/[0-9]+\// {
	split($1, place, "/")
	name = $1
	sub(/^\/deltas\/[0-9]+\//, "", name)
	delta[place[3], name] = $2
	if (place[3] + 0 >= count) count = place[3] + 1
}

END {
	nothing = "null"
	reached[nothing] = 1
	number = split(from, commits, " ")
	for (i = 1; i <= number; i++) reached[commits[i]] = 1
	number = split(have, sums, " ")
	for (i = 1; i <= number; i++) is_here[sums[i]] = 1
	for (i = 0; i < count; i++) {
		if (delta[i, "ref"] != ref) continue
		if (!is_sane(i)) exit 1
		if (fits(delta[i, "memory"]) && is_there(delta[i, "sha256"])) edge[++edges] = i
		if (kernels == "" || !((i, "pair/memory") in delta)) continue
		if (!is_sane_pair(i)) exit 1
		if (fits(delta[i, "pair/memory"]) && is_there(delta[i, "pair/kernel/sha256"]) && is_there(delta[i, "pair/rest/sha256"]))
			edge[++edges] = pair_of(i)
	}
	do {
		changed = 0
		for (i = 1; i <= edges; i++) changed += try(edge[i])
	} while (changed)
	for (at = to; at in last; at = delta[last[at], "from"]) hop[++hops] = last[at]
	for (; hops > 0; hops--) {
		i = hop[hops]
		if (i in whole) put_pair(whole[i])
		else print delta[i, "file"], delta[i, "bytes"], delta[i, "sha256"], delta[i, "unpackedBytes"], delta[i, "memory"]
	}
}

function fits(needed) {
	return memory == "" || needed + 0 <= memory + 0
}

function is_there(sum) {
	return have == "" || (sum in is_here)
}

# A further way between the same commits.
function pair_of(i,    pair) {
	pair = "pair" i
	whole[pair] = i
	delta[pair, "from"] = delta[i, "from"]
	delta[pair, "to"] = delta[i, "to"]
	delta[pair, "bytes"] = delta[i, "pair/kernel/bytes"] + delta[i, "pair/rest/bytes"] + 100
	return pair
}

function put_pair(i) {
	print part(i, "kernel"), delta[i, "from"], delta[i, "pair/kernel/from"], delta[i, "pair/kernel/to"], delta[i, "pair/rest/from"]
	print part(i, "rest")
}

function part(i, name) {
	name = "pair/" name
	return delta[i, name "/file"] " " delta[i, name "/bytes"] " " delta[i, name "/sha256"] " " \
		delta[i, name "/unpackedBytes"] " " delta[i, "pair/memory"]
}

# A way costs its bytes, and where these are equal its deltas. A hundred bytes each: a request is not free.
function try(i,    start, end, cost) {
	start = delta[i, "from"]
	end = delta[i, "to"]
	if (!(start in reached)) return 0
	cost = costs[start] + delta[i, "bytes"] + 100
	if ((end in reached) && (!(end in last) || costs[end] <= cost)) return 0
	reached[end] = 1
	costs[end] = cost
	last[end] = i
	return 1
}

function is_sane(i) {
	return (delta[i, "from"] == "null" || is_sum(delta[i, "from"])) && is_sum(delta[i, "to"]) && is_sum(delta[i, "sha256"]) &&
		is_number(delta[i, "bytes"]) && is_number(delta[i, "unpackedBytes"]) && is_number(delta[i, "memory"]) &&
		is_file(delta[i, "file"])
}

function is_sane_pair(i) {
	return is_sum(delta[i, "from"]) && is_sum(delta[i, "pair/kernel/from"]) && is_sum(delta[i, "pair/kernel/to"]) &&
		is_sum(delta[i, "pair/rest/from"]) && is_sane_part(i, "pair/kernel/") && is_sane_part(i, "pair/rest/") &&
		is_number(delta[i, "pair/memory"])
}

function is_sane_part(i, part) {
	return is_file(delta[i, part "file"]) && is_sum(delta[i, part "sha256"]) && is_number(delta[i, part "bytes"]) &&
		is_number(delta[i, part "unpackedBytes"])
}

function is_file(text) {
	return text ~ /^[A-Za-z0-9_][A-Za-z0-9._+-]*$/
}

function is_sum(text) {
	return length(text) == 64 && text ~ /^[0-9a-f]+$/
}

function is_number(text) {
	return length(text) <= 15 && text ~ /^[0-9]+$/
}
