//! `policy test`: as `opa test` tells it.

use agentguard::policy::{Outcome, Ran, Suite};
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::flags::{Arguments, JSON, RUN, VERBOSE};
use crate::voice::{Voice, Word};

use super::{failure, meant};

/// How many went how.
#[derive(Default)]
struct Counts {
    pass: usize,
    fail: usize,
    error: usize,
    skip: usize,
}

/// Runs the tests; tells of those that do not pass, and how many did.
pub(crate) fn test(arguments: &Arguments, voice: &mut Voice) -> Result<Exit, Failure> {
    let mut counts = Counts::default();
    let mut all = 0;
    for sources in meant(arguments)? {
        let mut suite = Suite::load(&sources).map_err(failure)?;
        all += suite.count();
        if let Some(pattern) = arguments.text(&RUN) {
            suite.keep(pattern)?;
        }
        for ran in suite.run() {
            counts.add(&ran.outcome);
            match arguments.has(&JSON) {
                true => voice.json(&object(&ran))?,
                false => tell(&ran, arguments.has(&VERBOSE), voice)?,
            }
            if voice.is_closed() {
                return Ok(counts.exit());
            }
        }
    }
    if !arguments.has(&JSON) {
        for line in counts.lines() {
            voice.line(&line)?;
        }
    }
    if counts.all() == 0 {
        voice.flush()?;
        voice.say(Word::Note, &why_none(all));
    }
    Ok(counts.exit())
}

fn why_none(all: usize) -> String {
    match all {
        0 => "there is no test: tests are rules `test_…` in files `*_test.rego`".to_owned(),
        1 => "the name of the one test there is does not match `--run`".to_owned(),
        all => format!("none of the names of {all} tests matches `--run`"),
    }
}

impl Counts {
    fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Pass => self.pass += 1,
            Outcome::Fail => self.fail += 1,
            Outcome::Error(_) => self.error += 1,
            Outcome::Skip => self.skip += 1,
        }
    }

    fn all(&self) -> usize {
        self.pass + self.fail + self.error + self.skip
    }

    fn lines(&self) -> Vec<String> {
        let all = self.all();
        let counts = [
            ("PASS", self.pass),
            ("FAIL", self.fail),
            ("ERROR", self.error),
            ("SKIPPED", self.skip),
        ];
        let some = counts.iter().filter(|(_, count)| *count > 0);
        some.map(|(word, count)| format!("{word}: {count}/{all}"))
            .collect()
    }

    fn exit(&self) -> Exit {
        match (self.all(), self.fail + self.error) {
            (0, _) => Exit::Failed,
            (_, 0) => Exit::Done,
            (_, _) => Exit::No,
        }
    }
}

fn tell(ran: &Ran, is_verbose: bool, voice: &mut Voice) -> Result<(), Failure> {
    let word = match &ran.outcome {
        Outcome::Pass | Outcome::Skip if !is_verbose => return Ok(()),
        Outcome::Pass => "PASS",
        Outcome::Fail => "FAIL",
        Outcome::Error(_) => "ERROR",
        Outcome::Skip => "SKIPPED",
    };
    let took = match ran.outcome {
        Outcome::Skip => String::new(),
        Outcome::Pass | Outcome::Fail | Outcome::Error(_) => format!(" ({:?})", ran.took),
    };
    voice.line(&format!("{}: {word}{took}", ran.test.full_name()))?;
    match &ran.outcome {
        Outcome::Pass | Outcome::Skip => {}
        Outcome::Fail => voice.line(&format!("  {}", place(ran)))?,
        Outcome::Error(reason) => voice.line(&format!("  {}: {reason}", place(ran)))?,
    }
    let mut printed = ran.printed.iter();
    printed.try_for_each(|line| voice.line(&format!("  {}", line.trim_end())))
}

fn place(ran: &Ran) -> String {
    format!("{}:{}:{}", ran.test.file, ran.test.line, ran.test.column)
}

/// As `opa test --format=json` has it, one object a line.
fn object(ran: &Ran) -> serde_json::Value {
    let test = &ran.test;
    let mut object = json!({
        "location": {"file": test.file, "row": test.line, "col": test.column},
        "package": test.package,
        "name": test.name,
        "duration": u64::try_from(ran.took.as_nanos()).unwrap_or(u64::MAX),
    });
    let (key, value) = match &ran.outcome {
        Outcome::Pass => return with_output(object, ran),
        Outcome::Fail => ("fail", json!(true)),
        Outcome::Error(reason) => ("error", json!({"message": reason})),
        Outcome::Skip => ("skip", json!(true)),
    };
    if let Some(fields) = object.as_object_mut() {
        fields.insert(key.to_owned(), value);
    }
    with_output(object, ran)
}

fn with_output(mut object: serde_json::Value, ran: &Ran) -> serde_json::Value {
    if let (Some(fields), false) = (object.as_object_mut(), ran.printed.is_empty()) {
        fields.insert("printed".to_owned(), json!(ran.printed));
    }
    object
}
