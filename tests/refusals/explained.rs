//! A refused program is explained on the caller's standard error, whatever that is, and nobody waits.

use agentguard::core::{Event, Level, OutcomeOf};

use crate::scene::{as_everyone, level};

const DENIED: &str = "/usr/bin/mount";

#[test]
fn a_refusal_reaches_pipes_files_and_sockets() {
    as_everyone(|scene| {
        let tried = scene.run(&["./attack", "explained", DENIED]).tried();
        tried.all_are(&["told"], &[]);
        assert!(tried.result("pipe") == "told" && tried.result("file") == "told");
        assert_eq!(tried.result("socket"), "told");
    });
}

#[test]
fn a_full_pipe_blocks_nobody_and_the_log_says_that_it_was_lost() {
    as_everyone(|scene| {
        let tried = scene.run(&["./attack", "full_pipe", DENIED]).tried();
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
        assert_eq!(lost, 1);
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
    as_everyone(|scene| {
        let ran = scene.run(&["./attack", "full_terminal", DENIED]);
        if level() != Level::Full {
            // Terminals of others lie where an own one would.
            assert_eq!(ran.code, Some(1));
            return;
        }
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let tried = ran.tried();
        tried.all_are(&["EACCES"], &[]);
        assert_eq!(tried.result("refused3"), "EACCES");
    });
}
