# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
# Sourced by every lint. A lint prints one FILE:LINE: TEXT per finding and ends
# with lint_end; it looks at the source tree (CAB_SRC, else two folders up), be
# it a checkout or an unpacked tarball.

: "${CAB_SRC:=$(cd "$(dirname "$0")/../.." && pwd)}"
cd "$CAB_SRC" || exit 99

# C sources and headers of the given folders, one per line.
lint_c_files()
{
	find "$@" -type f -name '*.[ch]' | LC_ALL=C sort
}

# Files that a shell runs: an interpreter line of sh or bash, or a directive
# for the lint. Only in our folders: a build tree may stand anywhere else.
lint_shell_files()
{
	for folder in .ci bench completions etc src systemd tests tools; do
		[ ! -d "$folder" ] || find "$folder" -name corpus -prune -o \
		    -type f -size -200k -print
	done |
	LC_ALL=C sort |
	while IFS= read -r file; do
		if head -n 3 "$file" | LC_ALL=C grep -aqE \
		    '^#! ?/(usr/)?bin/(env )?(ba)?sh|^# shellcheck shell='; then
			printf '%s\n' "$file"
		fi
	done
}

# Print C files with comments blanked and the contents of string and character
# constants taken out, as FILE:LINE:TEXT.
lint_c_code()
{
	awk '
	FNR == 1 { comment = 0 }
	{
		out = ""
		n = length($0)
		for (i = 1; i <= n; i++) {
			c = substr($0, i, 1)
			two = substr($0, i, 2)
			if (comment) {
				if (two == "*/") { comment = 0; i++ }
			} else if (two == "/*") {
				comment = 1; i++
			} else if (two == "//") {
				break
			} else if (c == "\"" || c == "\047") {
				for (i++; i <= n; i++) {
					d = substr($0, i, 1)
					if (d == "\\") i++
					else if (d == c) break
				}
				out = out c c
			} else
				out = out c
		}
		print FILENAME ":" FNR ":" out
	}' "$@"
}

# Leave with the reason why this machine cannot run the lint.
lint_skip()
{
	echo "skipped: $*"
	exit 77
}

# lint_end FINDINGS WHAT: print the findings and the verdict, and leave.
lint_end()
{
	if [ -n "$1" ]; then
		printf '%s\n' "$1"
		echo "FAILED: $2"
		exit 1
	fi
	echo "ok: $2"
	exit 0
}
