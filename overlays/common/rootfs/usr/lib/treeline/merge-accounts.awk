# usage: awk -f merge-accounts.awk IMAGE MACHINE WORK. Reads passwd, group and shadow (passwd(5), group(5), shadow(5)) of the
# directories IMAGE and MACHINE, and writes those of MACHINE to which something of IMAGE is to be added into WORK, complete.
# Where something cannot be added, stderr says what and why, and the exit code is 1. Names decide who is who.

BEGIN {
	image = ARGV[1]
	machine = ARGV[2]
	work = ARGV[3]
	read_machine()
	find_new_groups()
	find_new_users()
	add_members()
	add_passwords()
	put("group")
	put("passwd")
	put("shadow")
	exit failed
}

# What libc takes for an entry counts as one. Everything else (comments, NIS, damage) is kept and means nothing.
function read_machine(    i) {
	read_lines(machine "/passwd", "passwd")
	for (i = 1; i <= count["passwd"]; i++) {
		if (!is_entry(line["passwd", i], 4) || field[1] in user_here) continue
		user_here[field[1]] = number(field[3])
		if (!(number(field[3]) in user_of)) user_of[number(field[3])] = field[1]
	}
	read_lines(machine "/group", "group")
	for (i = 1; i <= count["group"]; i++) {
		if (!is_entry(line["group", i], 3) || field[1] in group_here) continue
		group_here[field[1]] = number(field[3])
		group_line[field[1]] = i
		if (!(number(field[3]) in group_of)) group_of[number(field[3])] = field[1]
	}
	read_lines(machine "/shadow", "shadow")
	for (i = 1; i <= count["shadow"]; i++) {
		if (line["shadow", i] !~ /^[#+-]/ && split(line["shadow", i], field, ":") >= 2) password_here[field[1]] = 1
	}
}

function find_new_groups(    i, name, id) {
	read_lines(image "/group", "image group")
	for (i = 1; i <= count["image group"]; i++) {
		if (!is_entry(line["image group", i], 4)) continue
		name = field[1]
		id = number(field[3])
		if (!(id in image_group_of)) image_group_of[id] = name
		if (name in group_here || name in group_new || name in group_refused) continue
		if (id in group_of) {
			refuse("group " name, "its id " id " belongs to the group " group_of[id] " here")
			group_refused[name] = 1
		} else {
			group_new[name] = i
		}
	}
}

function find_new_users(    i, name, id, group) {
	read_lines(image "/passwd", "image passwd")
	for (i = 1; i <= count["image passwd"]; i++) {
		if (!is_entry(line["image passwd", i], 7)) continue
		name = field[1]
		id = number(field[3])
		group = image_group_of[number(field[4])]
		if (!(name in image_user)) image_user[name] = id
		if (name in user_here || name in user_new || name in user_refused) continue
		user_refused[name] = 1
		if (id in user_of) {
			refuse("user " name, "its id " id " belongs to the user " user_of[id] " here")
		} else if (group in group_refused) {
			refuse("user " name, "its group " group " could not be added")
		} else if (group in group_here && group_here[group] != number(field[4])) {
			refuse("user " name, "its group " group " has the id " group_here[group] " here, not " number(field[4]))
		} else {
			delete user_refused[name]
			user_new[name] = 1
			if (field[2] == "x") password_missing[name] = 1
			append("passwd", line["image passwd", i])
		}
	}
}

# A group that is new here comes with its members; one that was here gets those members that are new here themselves.
function add_members(    i, name, members, at) {
	for (i = 1; i <= count["image group"]; i++) {
		if (!is_entry(line["image group", i], 4)) continue
		name = field[1]
		members = field[4]
		if (group_new[name] == i) {
			append("group", name ":" field[2] ":" field[3] ":" chosen(members, "", ""))
		} else if (name in group_here) {
			at = group_line[name]
			split(line["group", at], field, ":")
			members = chosen(members, field[4], "new")
			if (members == "") continue
			line["group", at] = field[1] ":" field[2] ":" field[3] ":" field[4] (field[4] == "" ? "" : ",") members
			changed["group"] = 1
		}
	}
}

# Of a list of members those that are not in `present`: all but refused users, or only new ones.
function chosen(members, present, which,    i, n, names, seen, result) {
	n = split(present, names, ",")
	for (i = 1; i <= n; i++) seen[names[i]] = 1
	n = split(members, names, ",")
	for (i = 1; i <= n; i++) {
		if (names[i] == "" || names[i] in seen || names[i] in user_refused) continue
		if (which == "new" && !(names[i] in user_new)) continue
		seen[names[i]] = 1
		result = result (result == "" ? "" : ",") names[i]
	}
	return result
}

# The image's password is for the image's user, not for another one of that name.
function add_passwords(    i, name) {
	read_lines(image "/shadow", "image shadow")
	for (i = 1; i <= count["image shadow"]; i++) {
		if (line["image shadow", i] ~ /^[#+-]/ || split(line["image shadow", i], field, ":") < 2) continue
		name = field[1]
		if (name in password_here) continue
		if (!(name in user_new) && !(name in user_here && name in image_user && user_here[name] == image_user[name])) continue
		password_here[name] = 1
		append("shadow", line["image shadow", i])
	}
	for (name in password_missing) if (!(name in password_here)) append("shadow", name ":*:::::::")
}

# Also sets `field`.
function is_entry(text, least) {
	if (text ~ /^[#+-]/ || split(text, field, ":") < least) return 0
	return field[1] != "" && field[3] ~ /^[0-9]+$/
}

# Ids are compared as text: 7 and 007 are the same one.
function number(text) {
	sub(/^0+/, "", text)
	return text == "" ? "0" : text
}

function refuse(what, why) {
	print "treeline: " what " of this version is not added: " why >"/dev/stderr"
	failed = 1
}

function append(file, text) {
	line[file, ++count[file]] = text
	changed[file] = 1
}

function read_lines(path, file,    text) {
	count[file] = 0
	while ((getline text <path) > 0) line[file, ++count[file]] = text
	close(path)
}

function put(file,    i) {
	if (!changed[file]) return
	for (i = 1; i <= count[file]; i++) print line[file, i] >(work "/" file)
	close(work "/" file)
}
