//! The variables that change what a program does, so that policy judges them with it.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Names that count, each with what reads it.
const NAMES: &[&str] = &[
    // Shells run or read these at their start (bash(1), dash(1), zsh(1)).
    "BASH_ENV",
    "ENV",
    "SHELLOPTS",
    "BASHOPTS",
    "PROMPT_COMMAND",
    "PS4",
    "IFS",
    "CDPATH",
    "ZDOTDIR",
    "FPATH",
    // Where programs are looked for, and which ones others start.
    "PATH",
    "PAGER",
    "EDITOR",
    "VISUAL",
    "BROWSER",
    "MANPAGER",
    "LESSOPEN",
    "LESSCLOSE",
    "SHELL",
    // Interpreters load code named by these.
    "NODE_OPTIONS",
    "NODE_PATH",
    "NODE_REPL_EXTERNAL_MODULE",
    "ELECTRON_RUN_AS_NODE",
    "PERL5OPT",
    "PERL5LIB",
    "PERL5DB",
    "PERLLIB",
    "RUBYOPT",
    "RUBYLIB",
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "CLASSPATH",
    "LUA_INIT",
    "LUA_PATH",
    "LUA_CPATH",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    "GEM_PATH",
    "GEM_HOME",
    "BUNDLE_GEMFILE",
    "DENO_DIR",
    // C libraries and what they load.
    "GCONV_PATH",
    "GETCONF_DIR",
    "HOSTALIASES",
    "LOCPATH",
    "MALLOC_TRACE",
    "NLSPATH",
    "RESOLV_HOST_CONF",
    "RES_OPTIONS",
    "TMPDIR",
    "GLIBC_TUNABLES",
    "OPENSSL_CONF",
    "OPENSSL_MODULES",
    "SSLKEYLOGFILE",
    // Builds run what these name.
    "MAKEFLAGS",
    "MFLAGS",
    "GNUMAKEFLAGS",
    "MAKEFILES",
    "CC",
    "CXX",
    "LD",
    "AR",
    "RUSTC",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTDOC",
    "RUSTFLAGS",
    "GOFLAGS",
    "CGO_LDFLAGS",
    "CMAKE_TOOLCHAIN_FILE",
    // Programs that connect elsewhere or take keys from somewhere.
    "SSH_ASKPASS",
    "SSH_AUTH_SOCK",
    "SUDO_ASKPASS",
    "DOCKER_HOST",
    "KUBECONFIG",
    "http_proxy",
    "https_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "all_proxy",
];

/// Beginnings of names that count.
const PREFIXES: &[&str] = &[
    "LD_",
    "DYLD_",
    "BASH_FUNC_",
    "GIT_",
    "PYTHON",
    "CARGO_TARGET_",
    "npm_config_",
    "NPM_CONFIG_",
];

/// Whether policy sees this variable.
pub(super) fn counts(name: &[u8]) -> bool {
    static KNOWN: LazyLock<HashSet<&[u8]>> =
        LazyLock::new(|| NAMES.iter().map(|name| name.as_bytes()).collect());
    KNOWN.contains(name)
        || PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::counts;

    #[test]
    fn what_loads_code_counts_and_what_only_tells_does_not() {
        for name in [
            "LD_PRELOAD",
            "LD_AUDIT",
            "BASH_ENV",
            "GIT_SSH_COMMAND",
            "PYTHONSTARTUP",
            "BASH_FUNC_ls%%",
            "NODE_OPTIONS",
        ] {
            assert!(counts(name.as_bytes()), "{name}");
        }
        for name in ["HOME", "LANG", "TERM", "PWD", "XGIT_DIR", ""] {
            assert!(!counts(name.as_bytes()), "{name}");
        }
    }
}
