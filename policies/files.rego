# What a session sees: nothing that is not named here. See also secrets.rego, persistence.rego and
# profiles.rego, which are of the same package.
#
# A policy adds to it:
#
#     package agentguard.sandbox
#     home_read contains ".cargo/registry"
package agentguard.sandbox

# The system, read-only. What does not exist is left out.
read contains path if {
	some path in [
		"/bin", "/etc", "/home/linuxbrew/.linuxbrew", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store",
		"/opt", "/sbin", "/usr",
	]
}

# What distributions keep elsewhere: what is installed, libraries of languages, where profiles of Nix and Guix lead.
read contains path if {
	some path in [
		"/gnu/store", "/nix/var/nix/profiles", "/run/current-system", "/var/cache/fontconfig", "/var/lib/aspell", "/var/lib/dpkg",
		"/var/lib/gems", "/var/lib/ghc", "/var/lib/ocaml", "/var/lib/pacman/local", "/var/lib/rpm", "/var/lib/sgml-base",
		"/var/lib/texmf", "/var/lib/xkb", "/var/lib/xml-core",
	]
}

# How many processors and how much memory there are, and how they lie: for lscpu(1) and what shares out work.
read contains path if some path in ["/sys/devices/system/cpu", "/sys/devices/system/node"]

# Where names are looked up, for sessions on the host's network.
read contains path if {
	input.request.network == "host"
	some path in ["/run/NetworkManager/resolv.conf", "/run/resolvconf", "/run/systemd/resolve"]
}

# Toolchains in the human's home, read-only. Package caches hold what is private too: they are for a
# policy to grant.
home_read contains path if {
	some path in [
		".asdf", ".bun/bin", ".cargo/bin", ".cargo/config.toml", ".cargo/env", ".config/git/attributes",
		".config/git/config", ".config/git/ignore", ".deno/bin", ".dotnet", ".ghcup/bin", ".gitconfig",
		".goenv", ".guix-profile", ".jenv", ".local/bin", ".local/lib", ".local/share/fnm", ".local/share/mise",
		".local/share/uv/python", ".local/share/uv/tools", ".local/state/nix/profiles", ".nix-profile", ".nodenv", ".nvm", ".pyenv", ".rbenv",
		".rustup", ".rvm", ".sdkman/candidates", ".terminfo", ".volta", "go/bin", "sdk",
	]
}

# Crates from crates.io, which are everybody's. On the host's network they are fetched into the agent's own
# home, since these cannot be added to.
home_read contains path if {
	input.request.network == "isolated"
	some kind in ["cache", "index", "src"]
	some registry in ["index.crates.io-1949cf8c6b5b557f", "index.crates.io-6f17d22bba15001f"]
	path := concat("/", [".cargo/registry", kind, registry])
}

# The network: the session's own, unless the host's is asked for by name.
network contains "isolated"

network contains "host" if input.request.network == "host"

# A sanitizer looks for leaks by tracing, which nothing in a session may, and fails whatever program was built with it.
variables contains {"name": "LSAN_OPTIONS", "value": "detect_leaks=0"} if {
	not "LSAN_OPTIONS" in input.request.environment
}

ports contains port if some port in input.request.ports

# Bounds on use. The least that any policy sets counts.
processes contains 4096

files contains 65536

temporary_bytes contains 4294967296

covered contains {
	"id": "files/not-granted",
	"reason": "only the workspace, the agent's own home, system directories and toolchains exist inside",
	"remedy": "work in the workspace, or ask for a policy that grants the path",
}

covered contains {
	"id": "files/read-only",
	"reason": "system directories and toolchains cannot be changed from inside",
	"remedy": "install what you need into the workspace",
}

covered contains {
	"id": "network/isolated",
	"reason": "nothing but granted loopback ports can be reached",
	"remedy": "ask for a port with --port, for a policy that grants hosts, or for the host's network with --network=host",
} if {
	input.request.network != "host"
	count(hosts) == 0
}

covered contains {
	"id": "network/gated",
	"reason": "granted hosts are reached by name, over HTTP and through the gate; nothing else is, by whatever protocol",
	"remedy": "ask for a port with --port, for a policy that grants the host, or for the host's network with --network=host",
} if {
	input.request.network != "host"
	count(hosts) > 0
}

covered contains {
	"id": "sockets/datagram",
	"reason": "unix sockets for datagrams cannot be made: each datagram could name a receiver of its own",
	"remedy": "use a stream or a sequence of packets, or UDP on the loopback",
}

# Variables that pass from the caller. Credentials are not among them; `--env NAME` adds what is needed.
environment contains name if {
	some name in [
		"AR", "CARGO_HOME", "CARGO_TERM_COLOR", "CC", "CFLAGS", "CI", "CLICOLOR", "CLICOLOR_FORCE", "COLORTERM", "COLUMNS", "CPPFLAGS", "CXX",
		"CXXFLAGS", "DEBIAN_FRONTEND",
		"FORCE_COLOR", "GIT_AUTHOR_EMAIL", "GIT_AUTHOR_NAME", "GIT_COMMITTER_EMAIL", "GIT_COMMITTER_NAME",
		"GOFLAGS", "GOPATH", "GOROOT", "HOME", "JAVA_HOME", "LANG", "LANGUAGE", "LC_*", "LDFLAGS", "LINES", "LOGNAME", "LS_COLORS",
		"NODE_ENV", "NO_COLOR", "NVM_BIN", "NVM_DIR", "PATH", "PKG_CONFIG_PATH", "PYENV_ROOT", "PYENV_VERSION", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN",
		"RUSTFLAGS", "RUST_BACKTRACE", "SHELL", "SOURCE_DATE_EPOCH", "TERM", "TZ", "USER", "VIRTUAL_ENV", "VOLTA_HOME",
	]
}

environment contains name if {
	some name in input.request.environment
	not is_for_the_runner(name)
}

# Files and tokens of a CI runner: what is written there runs in later steps, outside.
is_for_the_runner(name) if startswith(name, "ACTIONS_")

is_for_the_runner(name) if {
	name in {"BASH_FUNC_*", "GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_PATH", "GITHUB_STATE", "GITHUB_STEP_SUMMARY", "RUNNER_TEMP"}
}
