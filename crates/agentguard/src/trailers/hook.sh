# Git starts this in the place of a repository's hooks, under the name of each: it has a commit's message name the
# session, and starts the repository's own hook as git would. No variable of these is one of the hook's.

agentguard_name=${0##*/}
agentguard_ours="'core.hooksPath=${0%/*}'"
agentguard_settings=$GIT_CONFIG_PARAMETERS
case $agentguard_settings in
*"$agentguard_ours"*)
	agentguard_settings="${agentguard_settings%%"$agentguard_ours"*}'agentguard.hooks=own'${agentguard_settings#*"$agentguard_ours"}"
	;;
esac

# Git with all of its settings but the one that leads here.
agentguard_git() {
	GIT_CONFIG_PARAMETERS=$agentguard_settings git "$@"
}

# Starts the own hook. Of one that is not executable git itself says that it is ignored.
agentguard_own() {
	if [ -x "$agentguard_hook" ]; then
		"$agentguard_hook" "$@"
	elif [ -e "$agentguard_hook" ]; then
		agentguard_git hook run --ignore-missing "$agentguard_name"
	fi
}

# Puts the trailers at the end of a message, in the place of those of another session. A line with a dash or a word of
# mail in it ends nothing.
agentguard_add() {
	git "$@" -c trailer.separators=: interpret-trailers --in-place --no-divider \
		--where end --if-exists replace --if-missing add \
		--trailer "Agentguard-Session: $agentguard_session" --trailer "Agentguard-Log: $agentguard_log" \
		"$agentguard_file"
}

# The same where no line is a comment: a subject may begin with `#`.
agentguard_add_to_plain() {
	agentguard_add -c core.commentChar="$(printf '\001')"
}

# Whether the file has any word.
agentguard_is_written() {
	while read -r agentguard_line || [ -n "$agentguard_line" ]; do
		if [ -n "$agentguard_line" ]; then
			return 0
		fi
	done <"$agentguard_file"
	return 1
}

# Whether the file names the session already.
agentguard_is_named() {
	while read -r agentguard_line || [ -n "$agentguard_line" ]; do
		if [ "$agentguard_line" = "Agentguard-Session: $agentguard_session" ]; then
			return 0
		fi
	done <"$agentguard_file"
	return 1
}

# What an editor left of a message: the lines that are no comments, above the diff that it may be shown.
agentguard_message() {
	sed '/^.\{1,\} -\{24\} >8 -\{24\}$/,$d' "$agentguard_file" | git stripspace --strip-comments
}

# Whether git would commit with that: with nothing it does not, nor with a template as it was. Where git chooses itself
# what a comment is, it cannot be told.
agentguard_is_message() {
	case $(git config --get-regexp '^core\.comment(char|string)$') in
	*auto*) return 1 ;;
	esac
	agentguard_line=$(agentguard_message)
	[ -n "$agentguard_line" ] || return
	if [ -e "$agentguard_file.template" ]; then
		[ "$agentguard_line" != "$(cat "$agentguard_file.template")" ] || return
		rm -f "$agentguard_file.template"
	fi
}

agentguard_hook=$(agentguard_git rev-parse --git-path "hooks/$agentguard_name") || exit
if [ "$agentguard_hook" -ef "$0" ]; then
	echo "agentguard: \`core.hooksPath\` leads to \`${0%/*}\`, where no repository has hooks of its own" >&2
	exit 1
fi
agentguard_file=$1
case $agentguard_name in
prepare-commit-msg)
	agentguard_own "$@" || exit
	# With an editor to come, a message that nobody writes has to stay none.
	case $GIT_EDITOR:$2 in
	*:template) agentguard_message >"$agentguard_file.template" ;;
	::) ;;
	::*) ! agentguard_is_written || agentguard_add_to_plain || exit ;;
	esac
	exit 0
	;;
commit-msg)
	if ! agentguard_is_named && agentguard_is_message; then
		agentguard_add || exit
	fi
	;;
applypatch-msg)
	! agentguard_is_written || agentguard_add_to_plain || exit
	;;
esac
if [ -x "$agentguard_hook" ]; then
	exec "$agentguard_hook" "$@"
fi
agentguard_own
