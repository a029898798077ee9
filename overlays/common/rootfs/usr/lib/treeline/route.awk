# The cheapest way to a commit, by bytes, over the deltas of an update index: one delta, several behind one another, or one
# from nothing. Reads what json.awk makes of the index. Variables:
#   ref, to   the commit, and whose deltas count
#   from      commits that are there, blanks between
#   memory    bytes that are free: deltas that need more do not count; empty: all count
#   have      checksums of the deltas that count, blanks between; empty: all count
# Prints the deltas in the order in which they apply: FILE BYTES SHA256 UNPACKED-BYTES MEMORY. Nothing where there is no
# way; exit code 1 where the index says what cannot be. Bellman and Ford's algorithm: there are few deltas.

BEGIN { FS = "\t" }

$1 ~ /^\/deltas\/[0-9]+\// {
	split($1, place, "/")
	delta[place[3], place[4]] = $2
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
		if (memory != "" && delta[i, "memory"] + 0 > memory + 0) continue
		if (have != "" && !(delta[i, "sha256"] in is_here)) continue
		edge[++edges] = i
	}
	do {
		changed = 0
		for (i = 1; i <= edges; i++) changed += try(edge[i])
	} while (changed)
	for (at = to; at in last; at = delta[last[at], "from"]) hop[++hops] = last[at]
	for (; hops > 0; hops--) {
		i = hop[hops]
		print delta[i, "file"], delta[i, "bytes"], delta[i, "sha256"], delta[i, "unpackedBytes"], delta[i, "memory"]
	}
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
		delta[i, "file"] ~ /^[A-Za-z0-9_][A-Za-z0-9._+-]*$/
}

function is_sum(text) {
	return length(text) == 64 && text ~ /^[0-9a-f]+$/
}

function is_number(text) {
	return length(text) <= 15 && text ~ /^[0-9]+$/
}
