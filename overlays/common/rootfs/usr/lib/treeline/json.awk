# Reads one JSON text (RFC 8259) and prints a line for each value in it that is no container, or an empty one: the value's
# place as a JSON pointer (RFC 6901), a tab, the value. Strings lose their quotes and, but for \\ and control characters (\n,
# \t, \u0000 to \u001f, \u007f), their escapes, so that a line is always one value. Any awk; bytes, so LC_ALL=C.
# Prints nothing and exits 1 with a message on stderr where the text is not valid.

BEGIN {
	for (number = 1; number < 256; number++) byte[number] = sprintf("%c", number)
	for (number = 1; number < 32; number++) escape[byte[number]] = sprintf("\\u%04x", number)
	escape["\n"] = "\\n"
	escape["\t"] = "\\t"
	escape["\r"] = "\\r"
	escape["\177"] = "\\u007f"
	plain["\""] = "\""
	plain["\\"] = "\\\\"
	plain["/"] = "/"
	plain["b"] = escape["\b"]
	plain["f"] = escape["\f"]
	plain["n"] = "\\n"
	plain["r"] = "\\r"
	plain["t"] = "\\t"
	deepest = 64
}

{ text = text $0 "\n" }

END {
	if (!failed) read_value("", 0)
	if (!failed) skip_blanks()
	if (!failed && rest != "") fail("more than one value")
	if (failed) exit 1
	for (number = 1; number <= lines; number++) print line[number]
}

# What is not read yet stands in `rest`, as far as it was looked at: cutting the beginning off a long text takes long.
function refill() {
	if (length(rest) >= 1024 || position >= length(text)) return
	rest = rest substr(text, position + 1, 4096)
	position += 4096
}

function read_value(path, depth) {
	if (failed) return
	skip_blanks()
	if (depth > deepest) fail("nested more than " deepest " deep")
	else if (take("{")) read_object(path, depth)
	else if (take("[")) read_array(path, depth)
	else if (take("\"")) print_value(path, read_string())
	else if (match(rest, /^(true|false|null)/)) print_value(path, take_match())
	else if (match(rest, /^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/)) print_value(path, take_match())
	else fail("a value was expected")
}

function read_object(path, depth,    key) {
	skip_blanks()
	if (take("}")) {
		print_value(path, "{}")
		return
	}
	while (!failed) {
		skip_blanks()
		if (!take("\"")) {
			fail("a name was expected")
			return
		}
		key = read_string()
		gsub(/~/, "~0", key)
		gsub(/\//, "~1", key)
		skip_blanks()
		if (!take(":")) {
			fail("a colon was expected")
			return
		}
		read_value(path "/" key, depth + 1)
		skip_blanks()
		if (take("}")) return
		if (!take(",")) fail("a comma or } was expected")
	}
}

function read_array(path, depth,    index_) {
	skip_blanks()
	if (take("]")) {
		print_value(path, "[]")
		return
	}
	for (index_ = 0; !failed; index_++) {
		read_value(path "/" index_, depth + 1)
		skip_blanks()
		if (take("]")) return
		if (!take(",")) fail("a comma or ] was expected")
	}
}

# What follows the opening quote, up to and with the closing one.
function read_string(    content, character) {
	content = ""
	while (!failed) {
		refill()
		if (!match(rest, /["\\\001-\037\177]/)) {
			if (rest == "") {
				fail("a string does not end")
				return
			}
			content = content rest
			rest = ""
			continue
		}
		content = content substr(rest, 1, RSTART - 1)
		character = substr(rest, RSTART, 1)
		rest = substr(rest, RSTART + 1)
		if (character == "\"") return content
		if (character == "\177") content = content escape[character]
		else if (character == "\\") content = content read_escape()
		else fail("a control character stands in a string")
	}
}

function read_escape(    character, code, low) {
	refill()
	character = substr(rest, 1, 1)
	rest = substr(rest, 2)
	if (character in plain) return plain[character]
	if (character != "u") {
		fail("there is no escape \\" character)
		return
	}
	code = read_hexadecimal()
	if (code >= 55296 && code < 56320 && substr(rest, 1, 2) == "\\u") {
		rest = substr(rest, 3)
		low = read_hexadecimal()
		if (low < 56320 || low > 57343) fail("half a surrogate pair")
		code = 65536 + (code - 55296) * 1024 + low - 56320
	}
	if (code >= 55296 && code < 57344) fail("half a surrogate pair")
	return utf8(code)
}

function read_hexadecimal(    digits, value, place) {
	digits = tolower(substr(rest, 1, 4))
	rest = substr(rest, 5)
	if (digits !~ /^[0-9a-f][0-9a-f][0-9a-f][0-9a-f]$/) fail("four hexadecimal digits were expected after \\u")
	value = 0
	for (place = 1; place <= 4; place++) value = value * 16 + index("0123456789abcdef", substr(digits, place, 1)) - 1
	return value
}

function utf8(code) {
	if (code == 0) return "\\u0000"
	if (code == 92) return "\\\\"
	if (code < 128) return (byte[code] in escape) ? escape[byte[code]] : byte[code]
	if (code < 2048) return byte[192 + int(code / 64)] continuation(code)
	if (code < 65536) return byte[224 + int(code / 4096)] continuation(int(code / 64)) continuation(code)
	return byte[240 + int(code / 262144)] continuation(int(code / 4096)) continuation(int(code / 64)) continuation(code)
}

function continuation(code) {
	return byte[128 + code % 64]
}

function print_value(path, value) {
	line[++lines] = path "\t" value
}

function skip_blanks() {
	refill()
	while (match(rest, /^[ \t\n\r]+/)) {
		rest = substr(rest, RLENGTH + 1)
		refill()
	}
}

function take(token) {
	if (substr(rest, 1, length(token)) != token) return 0
	rest = substr(rest, length(token) + 1)
	return 1
}

# What the last match() found at the start.
function take_match(    token) {
	token = substr(rest, 1, RLENGTH)
	rest = substr(rest, RLENGTH + 1)
	return token
}

function fail(reason) {
	if (failed) return
	failed = 1
	print "not valid JSON: " reason ", before: " substr(rest, 1, 40) > "/dev/stderr"
}
