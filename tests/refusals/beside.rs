//! What lies in git's directory besides its settings and hooks, and has somebody outside run something.

use std::fs;

use agentguard::core::Promise;

use crate::pins::repository;
use crate::scene::{Scene, as_everyone, where_held};

/// Beside git's own settings, in the same directory, lie those of other programs, which run what they name.
#[test]
fn settings_of_other_programs_in_gits_directory_are_held() {
    const OTHERS: [&str; 5] = [
        "gbp.conf",
        "lazygit.yml",
        "glab-cli/config.yml",
        "glab-cli/aliases.yml",
        "sl/config",
    ];
    let script = format!(
        "for git in .git sub/.git; do for name in {}; do \
         mkdir -p $(dirname $git/$name); echo planted > $git/$name && echo made $git/$name; \
         rm -f $git/$name; mv $git/$name $git/other && echo moved $git/$name; done; done; \
         mkdir -p .git/glab-cli .git/sl; echo x > .git/lazygit; echo x > .git/sl/state && echo worked",
        OTHERS.join(" ")
    );
    let prepare = |scene: &Scene| {
        repository(scene);
        for directory in ["sub", "sub/.git", "sub/.git/sl", "sub/.git/glab-cli"] {
            scene.directory(&format!("home/work/{directory}"));
        }
        for name in OTHERS {
            scene.write(&format!("home/work/sub/.git/{name}"), "as it was");
        }
    };
    let planted = |scene: &Scene, git: &str| {
        let text = |name: &&str| fs::read_to_string(scene.work().join(git).join(name)).ok();
        OTHERS.iter().filter_map(text).collect::<Vec<_>>()
    };
    where_held(&[Promise::Pins], |scene| {
        prepare(scene);
        let ran = scene.run(&["sh", "-c", &script]);
        assert_eq!(ran.stdout, "worked\n", "{}", ran.stderr);
        assert!(planted(scene, ".git").is_empty());
        assert_eq!(planted(scene, "sub/.git"), ["as it was"; 5]);
        scene.run_bare(&["sh", "-c", "mkdir -p .git/glab-cli .git/sl"]);
        let bare = scene.run_bare(&["sh", "-c", &script.replace("rm -f", ":")]);
        assert_eq!(bare.stdout.matches("made").count(), 10);
    });
}

/// Remotes of old are files of their own. A push to a repository on this machine runs that one's hooks, and an agent's
/// home holds any.
#[test]
fn a_push_goes_to_no_repository_that_an_agent_names() {
    const SCRIPT: &str = "for git in .git new.git sub/.git; do mkdir -p $git/remotes $git/branches; \
        printf 'URL: %s\\nPush: HEAD:refs/heads/main\\n' \"$1\" > $git/remotes/origin && echo made remote; \
        echo \"$1\" > $git/branches/origin && echo made branch; \
        mkdir $git/later; echo \"URL: $1\" > $git/later/origin; mv $git/later $git/Remotes && echo moved; \
        rm -r $git/remotes; ln -s later $git/remotes && echo led; done; \
        git update-ref refs/remotes/origin/x HEAD && git branch remotes/x && echo worked";
    let prepare = |scene: &Scene| {
        let script = "git init -q -b main . && git -c user.name=a -c user.email=b commit -q --allow-empty -m x && \
            git init -q -b main sub && git init -q --bare new.git && git init -q --bare ../../outside/evil.git && \
            printf '#!/bin/sh\\n: > \"$HOME/has-run\"\\n' > ../../outside/evil.git/hooks/pre-receive && \
            chmod +x ../../outside/evil.git/hooks/pre-receive";
        assert_eq!(scene.run_bare(&["sh", "-c", script]).code, Some(0));
    };
    let words = |scene: &Scene| {
        let evil = scene.outside().join("evil.git").display().to_string();
        let work = scene.work().display().to_string();
        ["sh", "-c", SCRIPT, "sh", &evil, &work].map(str::to_owned)
    };
    let has_run = |scene: &Scene| {
        scene.run_bare(&["git", "push"]);
        scene.root.join("home/has-run").exists()
    };
    where_held(&[Promise::Pins], |scene| {
        prepare(scene);
        let words = words(scene);
        let ran = scene.run(&words.each_ref().map(String::as_str));
        assert_eq!(ran.stdout, "worked\n", "{}", ran.stderr);
        assert!(!has_run(scene));
        let refusals = scene.refusals();
        assert!(refusals.contains(&"persistence/repository".to_owned()));
    });
    as_everyone(|scene| {
        prepare(scene);
        let words = words(scene);
        let ran = scene.run_bare(&words.each_ref().map(String::as_str));
        assert_eq!(ran.stdout.matches("made").count(), 6, "{}", ran.stderr);
        assert!(has_run(scene));
    });
}

/// A file of Jujutsu's names where the repository lies, whose settings it takes.
#[test]
fn a_file_of_jujutsu_names_no_other_repository() {
    where_held(&[Promise::Pins], |scene| {
        scene.directory("home/work/.jj/repo/op_store");
        scene.own(&scene.work().join(".jj"));
        scene.own(&scene.work().join(".jj/repo"));
        scene.directory("home/work/other/.jj");
        scene.own(&scene.work().join("other"));
        scene.write("home/work/other/.jj/repo", "as it was");
        let script = "echo x > .jj/repo/op_store/y && echo worked; mv .jj/repo .jj/old; echo /x > .jj/repo && echo made; \
                      ln -s old .jj/repo && echo led; echo /x > other/.jj/repo && echo changed; \
                      echo /x > y; mv y other/.jj/repo && echo moved; true";
        let ran = scene.run(&["sh", "-c", script]);
        assert_eq!(ran.stdout, "worked\n", "{}", ran.stderr);
        let kept = fs::read_to_string(scene.work().join("other/.jj/repo")).unwrap();
        assert_eq!(kept, "as it was");
    });
}

/// The agent's home lies elsewhere to whoever is outside, and holds what it likes: also repositories.
#[test]
fn no_link_leads_to_what_an_agent_keeps_in_its_home() {
    const SCRIPT: &str = "home=$1; kept=$2; mkdir -p $home/kept && git init -q $home/kept && \
        git -C $home/kept config core.fsmonitor \"sh -c ': > ../has-run'\"; \
        try() { rm -f l; \"$@\" && echo \"let $*\"; }; \
        try ln -s \"$kept/kept\" l; try ln -s \"..${kept#*/home}/kept\" l; try ln -s \"/usr/..$kept/kept\" l; \
        try ln -s .. l; try ln -s / l; try ln -s ../../home l; try ln -s \"${kept%/*}\" l; \
        mkdir -p node_modules/a d; try ln -s \"$kept/kept\" node_modules/a/l; try ln -s \"$PWD/../.local\" d/l; \
        mkdir -p \"$kept\"; : > \"$kept/kept\"; try ln -s \"$kept/kept\" l; \
        ln -s /usr/bin/env env && ln -s ../d node_modules/up && ln -s \"$home/kept\" inside && ln -s absent/x gone && \
        mkdir -p a/b/c/d up && ln -s \"../../..${kept#*/home}/kept\" a/b/c/d/l && mv a/b/c/d up/d && echo moved; rm -rf a/b/c/d; \
        ln -s ../b a/b/c/l && mv a/b/c a/c && mv a/c c && ls -d c/l && echo worked";
    let words = |home: &str, kept: &std::path::Path| {
        let kept = kept.display().to_string();
        ["sh", "-c", SCRIPT, "sh", home, &kept].map(str::to_owned)
    };
    let has_run = |scene: &Scene| {
        for link in ["l", "node_modules/a/l", "inside"] {
            let script = format!("cd {link} && git status");
            scene.run_bare(&["sh", "-c", &script]);
        }
        let mut places = vec![
            scene.root.join("home/has-run"),
            scene.work().join("has-run"),
        ];
        places.push(
            scene
                .root
                .join("home/.local/state/agentguard/homes/local/has-run"),
        );
        places.push(scene.outside().join("has-run"));
        places.iter().any(|place| place.exists())
    };
    where_held(&[Promise::Pins], |scene| {
        let kept = scene.root.join("home/.local/state/agentguard/homes/local");
        let words = words(&scene.root.join("home").display().to_string(), &kept);
        let ran = scene.run(&words.each_ref().map(String::as_str));
        assert_eq!(ran.stdout, "c/l\nworked\n", "{}", ran.stderr);
        assert!(kept.join("kept/.git").exists());
        assert!(!has_run(scene));
    });
    as_everyone(|scene| {
        let words = words(&scene.outside().display().to_string(), &scene.outside());
        let script = words[2].replace(": > \"$kept/kept\";", "");
        let words = ["sh", "-c", &script, "sh", &words[4], &words[5]];
        let ran = scene.run_bare(&words);
        assert!(ran.stdout.contains("let ln -s"), "{}", ran.stderr);
        assert!(has_run(scene));
    });
}
