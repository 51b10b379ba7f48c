//! What a cloud and a cluster are told, changed by a push or by an interface: judged by what stands in it, whatever its
//! file is called.

use crate::pushes::{SHELL, assert_refused_last, with_server};
use crate::scene::{Ran, Scene};

/// Commits that put a file into the tree of another, or take it out, where nothing of it has to be a file of the workspace.
const COMMITS: &str = "put() {\n\
    export GIT_INDEX_FILE=$TMPDIR/index; git read-tree $3\n\
    blob=$(printf \"$1\" | git hash-object -w --stdin)\n\
    git update-index --add --cacheinfo ${4:-100644},$blob,$2\n\
    git commit-tree -p $3 -m x $(git write-tree); unset GIT_INDEX_FILE\n}\n\
    drop() {\n\
    export GIT_INDEX_FILE=$TMPDIR/index; git read-tree $2\n\
    git update-index --force-remove $1\n\
    git commit-tree -p $2 -m x $(git write-tree); unset GIT_INDEX_FILE\n}\n";

const CLOUD: &str = "resource \"aws_db_instance\" \"main\" {\\n  deletion_protection = true\\n}\\n";
const POD: &str = "apiVersion: v1\\nkind: Pod\\nspec:\\n  hostNetwork: true\\n";

/// What is put, and the rule that refuses it.
fn refused() -> Vec<(String, &'static str)> {
    let put = |content: &str, path: &str| format!("one=$(put '{content}' {path} HEAD)");
    let open = "resource \"aws_security_group\" \"x\" {\\n  ingress {\\n    cidr_blocks = [\"0.0.0.0/0\"]\\n  }\\n}\\n";
    let runs = "resource \"null_resource\" \"x\" {\\n  provisioner \"local-exec\" {\\n    command = \"x\"\\n  }\\n}\\n";
    let hidden = "apiVersion: v1\\nkind: ConfigMap\\n---x: |\\n apiVersion: v1\\n kind: Pod\\n spec: {hostNetwork: true}\\n";
    let long = format!("# '\"$(printf %0143360d 0)\"'\\n{POD}");
    vec![
        (put(open, "cloud/x.tf"), "terraform/open"),
        (put(runs, "x.tofu"), "terraform/runs"),
        (put("a = [\\n", "x.tf"), "terraform/unread"),
        (
            put("{\"provider\": {}, \"provider\": {}}", "x.tf.json"),
            "terraform/unread",
        ),
        (put("variable \"a\" {}\\n", "x.tf"), "terraform/changed"),
        (
            put(&CLOUD.replace("true", "false"), "cloud/main.tf"),
            "terraform/protection",
        ),
        (
            "one=$(drop cloud/main.tf HEAD)".to_owned(),
            "terraform/loss",
        ),
        (
            "one=$(put ../a cloud/main.tf HEAD 120000)".to_owned(),
            "terraform/unread",
        ),
        (put(POD, "deploy/web.yaml"), "kubernetes/privileged"),
        (
            put(
                "{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"spec\": {\"hostPID\": true}}",
                "a.json",
            ),
            "kubernetes/privileged",
        ),
        (
            put(&POD.replace("kind", "\"k\\\\x69nd\""), "web.yml"),
            "kubernetes/privileged",
        ),
        (
            put(&POD.replace("v1", "&a v1"), "web.yml"),
            "kubernetes/unclear",
        ),
        (
            put(&POD.replace("kind", "# c\\342\\200\\250kind"), "web.yml"),
            "kubernetes/unclear",
        ),
        (put(hidden, "web.yml"), "kubernetes/unclear"),
        (put(hidden, "x/k8s/web.yml"), "kubernetes/unread"),
        (put(&long, "web.yml"), "kubernetes/unclear"),
        (
            "one=$(put a.txt web.yml HEAD 120000)".to_owned(),
            "kubernetes/unclear",
        ),
        (
            "one=$(put a.txt compose.yaml HEAD 120000)".to_owned(),
            "containers/unread",
        ),
        (put(POD, "compose.yaml"), "containers/unread"),
    ]
}

fn push(scene: &Scene, policy: &str, roots: &str, script: &str) -> Ran {
    let script = format!("{SHELL}\n{COMMITS}set -e\n{script}");
    let roots = scene.write("roots.pem", roots);
    let flags = [policy, "--approval-timeout=0"];
    let mut command = scene.exec(&flags, &["sh", "-c", &script]);
    command.env("SSL_CERT_FILE", roots);
    scene.run_command(command)
}

#[test]
fn what_a_cloud_or_a_cluster_is_told_does_not_pass_by_what_its_file_is_called() {
    with_server(|scene, server| {
        let policy = server.policy(scene);
        let begun = format!(
            "git checkout -q main && mkdir cloud && printf '{CLOUD}' > cloud/main.tf && git add cloud && git commit -qm cloud && \
             git push -q {} main && git checkout -q -B work",
            server.repository.display()
        );
        assert_eq!(scene.run_bare(&["sh", "-ec", &begun]).code, Some(0));
        let before = server.refs(scene);
        for (script, rule) in refused() {
            // Also where the next commit takes it back.
            for then in ["", "one=$(git commit-tree -p $one -m y HEAD^{tree})"] {
                let script = format!("{script}\n{then}\nwire $one:refs/heads/$own/x");
                let ran = push(scene, &policy, &server.roots, &script);
                assert_eq!(server.refs(scene), before, "{script}: {}", ran.stderr);
                assert_refused_last(scene, rule, &format!("{script}: {}", ran.stderr));
            }
        }
        // What is none of it passes, however it is written, and so does what is only a note.
        for good in [
            "one=$(put 'a: &a 1\\nb: *a\\n' config.yaml HEAD)",
            "one=$(put 'kind: x\\nkind: y\\n' notes.yml HEAD)",
            "one=$(put '{\"kind\": 1, \"kind\": 2}' data.json HEAD)",
            "one=$(put 'apiVersion: v1\\nkind: ConfigMap\\ndata: {a: b}\\n' deploy/map.yaml HEAD)",
            &format!("one=$(put '# a note\\n{CLOUD}' cloud/main.tf HEAD)"),
        ] {
            let before = server.refs(scene);
            let ran = push(
                scene,
                &policy,
                &server.roots,
                &format!("{good}; wire $one:refs/heads/$own/x"),
            );
            assert_ne!(server.refs(scene), before, "{good}: {}", ran.stderr);
        }
    });
}
