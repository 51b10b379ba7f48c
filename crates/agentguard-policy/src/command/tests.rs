use super::*;

fn argv(line: &str) -> Vec<String> {
    let mut simple = split_plain(line).expect("a plain line");
    assert_eq!(simple.len(), 1, "{line}");
    simple.remove(0).argv
}

fn last(line: &str) -> Command {
    parse(&argv(line), "/work").pop().unwrap()
}

fn flags(command: &Command) -> Vec<&str> {
    command.flags.keys().map(String::as_str).collect()
}

#[test]
fn one_meaning_has_one_spelling() {
    for lines in [
        [
            "rm -rf x",
            "rm -fr x",
            "rm -r -f x",
            "rm --recursive --force x",
            "rm x -R --forc",
        ]
        .as_slice(),
        &[
            "git push -f origin main",
            "git push origin main --force",
            "git -C d push origin --force main",
        ],
        &[
            "docker run --privileged a",
            "docker container run --privileged=true a",
        ],
        &["npm i x", "npm install x", "npm add x", "/usr/bin/npm in x"],
        &[
            "terraform apply -auto-approve",
            "terraform apply --auto-approve",
            "tofu apply -auto-approve=true",
        ],
        &[
            "curl -XPOST u",
            "curl -X POST u",
            "curl --request POST u",
            "curl u --request=POST",
        ],
        &[
            "kubectl -n a delete pod b",
            "kubectl delete pod b --namespace=a",
            "kubectl delete -na pod b",
        ],
    ] {
        let mut first = last(lines[0]);
        first.flags.remove("-C");
        for line in lines {
            let mut command = last(line);
            command.flags.remove("-C");
            assert_eq!(command, first, "{line}");
        }
    }
}

#[test]
fn an_abbreviation_is_taken_as_the_tool_takes_it() {
    assert_eq!(flags(&last("git push --del o x")), ["--delete"]);
    assert_eq!(flags(&last("git push --forc o x")), ["--forc"]); // git: ambiguous
    assert_eq!(
        last("git clone --upload-pac=evil x").flags["--upload-pack"],
        ["evil"]
    );
}

#[test]
fn a_flag_that_is_switched_off_is_not_there() {
    assert!(flags(&last("docker run --privileged=false a")).is_empty());
    assert_eq!(
        flags(&last("docker run --privileged=1 a")),
        ["--privileged"]
    );
}

#[test]
fn git_is_read_past_its_global_options() {
    let command =
        last("git -C /x -c core.hooksPath=/h --git-dir=.g push --receive-pack=evil o a:b");
    assert_eq!(command.subcommand, ["push"]);
    assert_eq!(command.targets, ["o", "a:b"]);
    assert_eq!(command.flags["-c"], ["core.hooksPath=/h"]);
    assert_eq!(command.flags["--exec"], ["evil"]);
    assert_eq!(last("/usr/lib/git-core/git-push o").subcommand, ["push"]);
}

#[test]
fn wrappers_hide_nothing() {
    for line in [
        "env A=1 rm -rf /",
        "env -i -u X rm -rf /",
        "env -S 'rm -rf' /",
        "nice -n 5 rm -rf /",
        "nohup timeout -s KILL 5 rm -rf /",
        "sudo -u root A=b rm -rf /",
        "setsid stdbuf -oL rm -rf /",
        "time -p rm -rf /",
        "xargs -n1 -I{} rm -rf /",
        "find . -name x -exec rm -rf / ;",
        "find . -execdir rm -rf / +",
        "busybox rm -rf /",
        "sh -c 'rm -rf /'",
        "bash --norc -lc 'cd /; rm -rf /'",
        "bash -o pipefail -ec \"true && env rm -rf /\"",
        "su -c 'rm -rf /' root",
        "flock /l rm -rf /",
        "/lib64/ld-linux-x86-64.so.2 --library-path x /bin/rm -rf /",
        "bash -c \"eval 'rm -rf /' < /dev/null && true\"",
        "exec -a ls rm -rf /",
    ] {
        let found = parse(&argv(line), "/work");
        let rm = found.iter().find(|command| command.tool == "rm");
        let rm = rm.unwrap_or_else(|| panic!("{line}: {found:?}"));
        assert_eq!(flags(rm), ["--force", "--recursive"], "{line}");
        assert_eq!(rm.paths, ["/"], "{line}");
        assert!(!rm.via.is_empty(), "{line}");
    }
}

#[test]
fn scripts_of_interpreters_are_commands() {
    assert_eq!(last("python3.11 -m pip install x").tool, "pip");
    assert_eq!(last("node /usr/bin/npm publish").subcommand, ["publish"]);
    assert!(last("python3 -c 'import os'").opaque);
}

#[test]
fn what_only_a_shell_can_know_is_opaque() {
    for line in [
        "rm $X",
        "$(rm x)",
        "`rm x`",
        "(rm x)",
        "{ rm x; }",
        "if a; then b; fi",
        "cat <<E\nE",
        "a <(b)",
        "for i in a; do b; done",
        "! a",
        "\"$x\"",
        "'unclosed",
    ] {
        assert_eq!(split_plain(line), None, "{line}");
        let found = parse(&["bash".into(), "-c".into(), line.into()], "/work");
        assert!(found[0].opaque && found.len() == 1, "{line}: {found:?}");
    }
}

#[test]
fn plain_lines_are_split_as_a_shell_would() {
    let all = split_plain("A=1 a 'b c' \"d\\\"e\" f\\ g >out 2>&1 <in; h|i&&j&\nk # l\n").unwrap();
    let words: Vec<_> = all.iter().map(|simple| simple.argv.join("_")).collect();
    assert_eq!(words, ["a_b c_d\"e_f g", "h", "i", "j", "k"]);
    assert_eq!(all[0].environment["A"], "1");
}

#[test]
fn nesting_and_number_are_bounded() {
    let mut deep = vec!["env".to_owned(); 5000];
    deep.push("rm".to_owned());
    let found = parse(&deep, "/");
    assert!(found.len() <= MOST_COMMANDS && found.last().unwrap().opaque);
    let many = "true;".repeat(10_000);
    assert!(parse(&["sh".into(), "-c".into(), many], "/").len() <= MOST_COMMANDS);
}

#[test]
fn paths_are_taken_from_the_working_directory() {
    assert_eq!(absolute("../x/./y", "/a/b"), "/a/x/y");
    assert_eq!(absolute("../../../..", "/a"), "/");
    assert_eq!(
        last("dd if=/dev/zero of=/dev/sda").paths,
        ["/dev/zero", "/dev/sda"]
    );
}

proptest::proptest! {
    #[test]
    fn no_words_are_too_strange(words in proptest::collection::vec("[-a-z=/.+;'\"$ \u{e9}]{0,12}", 0..12)) {
        let found = parse(&words, "/work");
        proptest::prop_assert!(found.len() <= MOST_COMMANDS);
    }

    #[test]
    fn no_line_is_too_strange(line in ".{0,80}") {
        let _ = split_plain(&line);
        let _ = parse(&["bash".into(), "-c".into(), line], "/work");
    }
}
