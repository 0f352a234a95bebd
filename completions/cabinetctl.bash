# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Completion of cabinetctl for bash: verbs, options, and names that the running
# daemon is asked for.

# The first column of what a verb prints; nothing without a daemon.
_cabinetctl_names()
{
	cabinetctl "${socket[@]}" "$1" 2>/dev/null | awk '{ print $1 }'
}

_cabinetctl()
{
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
	local verbs='status services connections reload drain enable disable kill
	    metrics explain log-level top'
	local options='--json --socket --help --version'
	local -a socket=() arguments=()
	local i word words=''

	COMPREPLY=()
	if [[ $previous == --socket || $previous == -s ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
		return
	fi
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $word in
		--socket | -s)
			socket=(--socket "${COMP_WORDS[i + 1]}")
			((i++)) ;;
		-*) ;;
		*) arguments+=("$word") ;;
		esac
	done
	if [[ $current == -* ]]; then
		words=$options
	else
		case ${#arguments[@]}:${arguments[0]-} in
		0:*) words=$verbs ;;
		1:drain | 1:enable | 1:disable | 1:connections | 2:explain)
			words=$(_cabinetctl_names services) ;;
		1:kill) words=$(_cabinetctl_names connections) ;;
		1:log-level) words='error warning notice info debug' ;;
		esac
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

complete -F _cabinetctl cabinetctl
