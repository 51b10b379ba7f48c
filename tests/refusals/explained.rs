//! A refused program is explained on the caller's standard error, whatever that is, and nobody waits.

use agentguard::core::{Event, OutcomeOf, Promise};

use crate::scene::{as_everyone, level, where_held};

const DENIED: &str = "/usr/bin/mount";

#[test]
fn a_refusal_reaches_pipes_files_sockets_and_terminals() {
    as_everyone(|scene| {
        let tried = scene.run(&["./attack", "explained", DENIED]).tried();
        let outputs = ["pipe", "file", "socket", "terminal"];
        let is_there = |output: &&str| *output != "terminal" || level().holds(Promise::Own);
        for output in outputs.into_iter().filter(is_there) {
            assert_eq!(tried.result(output), "told", "{output}");
        }
    });
}

/// What gathers its children's words drops them where the start itself fails. For a program of which policy says
/// so the start succeeds, and nothing of what it started runs.
#[test]
fn a_program_that_shows_nothing_of_a_child_it_could_not_start_still_hears_why() {
    as_everyone(|scene| {
        let push = ["/usr/bin/git", "push", "origin", "HEAD:main"];
        let command = [&["./attack", "spawned"], &push[..]].concat();
        let tried = scene.run(&command).tried();
        tried.all_are(&["failed", "0", "told", "silent"], &[]);
        let policy = scene.policy("package agentguard.sandbox\nmute contains \"attack\"\n");
        let tried = scene.run_with(&[&policy], &command).tried();
        for (what, result) in [
            ("start", "succeeded"),
            ("end", "126"),
            ("reason", "told"),
            ("program", "silent"),
        ] {
            assert_eq!(tried.result(what), result, "{what}");
        }
        scene.each_event(|event| {
            assert!(!matches!(event, Event::Finding { .. }), "{event:?}");
        });
    });
}

#[test]
fn a_full_pipe_or_socket_blocks_nobody_and_the_log_says_that_it_was_lost() {
    as_everyone(|scene| {
        let tried = scene.run(&["./attack", "full_outputs", DENIED]).tried();
        assert_eq!(tried.result("refused"), "EACCES");
        let mut lost = 0;
        scene.each_event(|event| {
            lost += u32::from(matches!(
                event,
                Event::Outcome {
                    outcome: OutcomeOf::Untold,
                    ..
                }
            ));
        });
        assert_eq!(lost, 2);
    });
}

/// What stands on a shared standard error may be the agent's own words: this is where only ours arrive.
#[test]
fn whoever_gave_a_descriptor_for_reports_hears_what_no_agent_can_forge() {
    as_everyone(|scene| {
        let report = scene.write("outside/report", "");
        let forge = "echo 'agentguard: refused: nothing' >&2; echo {} >&9; /usr/bin/mount; true";
        let start = format!(
            "exec 9>>{}; exec {} exec --report-fd 9 -- sh -c \"{forge}\"",
            report.display(),
            scene.root.join("agentguard").display(),
        );
        let mut command = scene.command("sh");
        command.args(["-c", &start]);
        let ran = scene.run_command(command);
        assert_eq!(ran.code, Some(0));
        assert!(ran.stderr.contains("agentguard: refused: nothing"));
        let told = std::fs::read_to_string(&report).unwrap();
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.contains("\"privilege/namespaces\""), "{told}");
    });
}

#[test]
fn the_sessions_rules_can_be_read_inside() {
    as_everyone(|scene| {
        let ran = scene.run(&[
            "sh",
            "-c",
            "cat $AGENTGUARD_RULES; echo x > $AGENTGUARD_RULES",
        ]);
        for rule in [
            "files/not-granted: ",
            "persistence/pinned: ",
            "secrets/masked: ",
        ] {
            assert!(ran.stdout.contains(rule), "{rule}");
        }
        assert_ne!(ran.code, Some(0));
    });
}

#[test]
fn a_terminal_that_nobody_reads_blocks_nobody() {
    where_held(&[Promise::Own], |scene| {
        let ran = scene.run(&["./attack", "full_terminal", DENIED]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let tried = ran.tried();
        tried.all_are(&["EACCES"], &[]);
        assert_eq!(tried.result("refused3"), "EACCES");
    });
}
